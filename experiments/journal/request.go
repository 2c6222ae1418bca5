package journal

import (
	"strconv"
	"time"
)

// Request is one hit of an attack: planned, and then sent or dropped.
type Request struct {
	Seq    uint64 // from 0, unique in its attack
	Attack string // the attack's name: "load", or the step that sent it
	Route  string // the traffic request's name
	// Due is when the hit was to be sent by the plan, Sent when it was, Done
	// when its last byte was read or it was given up. A dropped hit was never
	// sent: Sent and Done are the instant at which it was dropped.
	Due, Sent, Done Instant
	Code            int  // HTTP status; 0 when there was no answer
	OK              bool // a success, as the subject's traffic defines it
	// Err is why there was no answer: one of the Err constants; empty when
	// there was one.
	Err        string
	Dropped    bool // could not be sent in time: the cap on requests in flight
	Canceled   bool // we hung up on purpose
	RetryAfter bool // the answer carried Retry-After
	Close      bool // the answer said Connection: close
	Reused     bool // it was sent on a connection that had been used before
	Replays    int  // silent replays by the transport, counted by httptrace
	// Tries is how often a client that tries again sent it; zero for one that
	// does not. Sent is then the first sending, all else the last try's.
	Tries    int
	BytesIn  uint32
	BytesOut uint32
}

// Reasons for which a request got no answer.
const (
	ErrTimeout  = "timeout"  // our own client timeout
	ErrRefused  = "refused"  // connection refused
	ErrReset    = "reset"    // connection reset
	ErrEOF      = "eof"      // closed before or within the answer
	ErrDial     = "dial"     // no connection, for another reason
	ErrCanceled = "canceled" // we hung up on purpose, or the run ended
	ErrOther    = "other"
)

// Latency is the time from the instant the hit was due to its end, so that a
// late generator cannot hide a slow service.
func (r Request) Latency() time.Duration { return r.Done.Sub(r.Due) }

// RawLatency is the time from the actual sending to the end: the optimistic
// figure.
func (r Request) RawLatency() time.Duration { return r.Done.Sub(r.Sent) }

// Lag is how late the hit was sent.
func (r Request) Lag() time.Duration { return r.Sent.Sub(r.Due) }

// Names of headers, where a subject does not name others: in which a request's
// id is sent and passed on, and which ties the attempts of one write together.
const (
	RequestIDHeader      = "X-Request-Id"
	IdempotencyKeyHeader = "Idempotency-Key"
)

// RequestID is the X-Request-Id header that was sent with a hit: the run's id,
// the attack's name and the hit's number.
func RequestID(run, attack string, seq uint64) string {
	return string(AppendRequestID(nil, run, attack, seq))
}

// AppendRequestID appends what [RequestID] returns.
func AppendRequestID(b []byte, run, attack string, seq uint64) []byte {
	b = append(b, run...)
	b = append(b, '-')
	b = append(b, attack...)
	return strconv.AppendUint(append(b, '-'), seq, 10)
}

// ID is the request's X-Request-Id in the given run.
func (r Request) ID(run string) string { return RequestID(run, r.Attack, r.Seq) }
