package journal

import "time"

// Call is one request that a programmable HTTP stub received. The entry's On is
// the dependency, its At the arrival (head read); all times in it are relative
// to the arrival, so that they need no clock of another process.
type Call struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	// QueryHash is of what stands behind the path: hex SHA-256, first 16 digits.
	QueryHash string `json:"query_hash,omitempty"`
	Route     string `json:"route,omitempty"` // the stub's route that answered
	// RequestID, Traceparent, B3, UberTraceID and IdempotencyKey are the headers by
	// which the attempts of one logical call are tied together. X-B3-TraceId and
	// X-B3-SpanId are taken down as B3, with a hyphen between, where there is no b3.
	RequestID      string `json:"request_id,omitempty"`
	Traceparent    string `json:"traceparent,omitempty"`
	B3             string `json:"b3,omitempty"`
	UberTraceID    string `json:"uber_trace_id,omitempty"`
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	BodyHash       string `json:"body_hash,omitempty"` // hex SHA-256, first 16 digits
	BodyBytes      int64  `json:"body_bytes,omitempty"`
	// BodyRead says that the whole request was read.
	BodyRead bool   `json:"body_read"`
	Status   int    `json:"status,omitempty"` // zero: no answer was begun
	Fault    string `json:"fault,omitempty"`  // the fault that shaped the answer
	// RetryAfter is what the answer's Retry-After header asked for; zero when
	// it had none.
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	// Answered is when the last byte of the answer was handed over; zero when
	// it never was.
	Answered time.Duration `json:"answered,omitempty"`
	// HungUp says that the caller closed the connection before the answer was
	// complete, HungUpAfter when.
	HungUp      bool          `json:"hung_up,omitempty"`
	HungUpAfter time.Duration `json:"hung_up_after,omitempty"`
	// Open says that the call was still going on when the recording ended.
	Open bool `json:"open,omitempty"`
	// Age is how long a call was held that was neither answered nor hung up on:
	// until the recording ended, or until the stub cut it off because what held
	// it was taken back. Zero for all others.
	Age  time.Duration `json:"age,omitempty"`
	Conn uint64        `json:"conn"` // the connection's number at this stub
	Nth  int           `json:"nth"`  // the call's number on its connection, from 1
}

// Kind is "call".
func (Call) Kind() string { return "call" }

// Tally counts what one proxy carried, cumulatively since the agent started.
// The entry's On is the dependency. It is recorded every 100 ms while anything
// changes, and once at the beginning.
type Tally struct {
	Conns     uint64 `json:"conns"`      // connections accepted
	Open      int    `json:"open"`       // connections open now
	UpBytes   uint64 `json:"up_bytes"`   // from the service to the dependency
	DownBytes uint64 `json:"down_bytes"` // from the dependency to the service
	UpChunks  uint64 `json:"up_chunks"`
	// Shaped is what toxics of our own say they did: chunks delayed, held or
	// sliced, closes delayed, connections cut short.
	Shaped uint64 `json:"shaped,omitempty"`
}

// Kind is "tally".
func (Tally) Kind() string { return "tally" }

// RoundTrip is our own small exchange with a dependency through its proxy (a
// Postgres SSLRequest, a Redis PING, a stub's own ping path, a bare connect for
// tcp), on a connection of its own. The entry's On is the dependency, its At
// the beginning. Up and Down are its bytes, to be taken off the [Tally].
type RoundTrip struct {
	Dial  time.Duration `json:"dial"`            // until connected
	RTT   time.Duration `json:"rtt"`             // from the first byte sent to the last received
	Bytes int           `json:"bytes,omitempty"` // payload received
	Err   string        `json:"err,omitempty"`   // one of the Err constants
	Up    int           `json:"up"`
	Down  int           `json:"down"`
	// Pooled says that the exchange used a connection kept open from before,
	// so that faults on connections already open are seen too.
	Pooled bool `json:"pooled,omitempty"`
}

// Kind is "roundtrip".
func (RoundTrip) Kind() string { return "roundtrip" }

// Backend is one row of pg_stat_activity.
type Backend struct {
	PID      int           `json:"pid"`
	User     string        `json:"user,omitempty"`
	App      string        `json:"app,omitempty"` // application_name
	Client   string        `json:"client,omitempty"`
	State    string        `json:"state,omitempty"`
	WaitType string        `json:"wait_type,omitempty"`
	Wait     string        `json:"wait,omitempty"`
	QueryAge time.Duration `json:"query_age,omitempty"` // now − query_start, while active
	IdleAge  time.Duration `json:"idle_age,omitempty"`  // now − state_change, while idle in a transaction
	XactAge  time.Duration `json:"xact_age,omitempty"`  // zero: no transaction
	Age      time.Duration `json:"age,omitempty"`       // since backend_start
}

// Activity is one sample of pg_stat_activity: the client backends of the
// service's role. The entry's On is the dependency. Err says why a sample could
// not be taken.
type Activity struct {
	Backends       []Backend `json:"backends,omitempty"`
	MaxConnections int       `json:"max_connections,omitempty"`
	Err            string    `json:"err,omitempty"`
}

// Kind is "activity".
func (Activity) Kind() string { return "activity" }

// AgentReplaced says that the agent was killed and started again because its
// API no longer answered; connections through it were lost, and whatever comes
// after it says nothing about the service.
type AgentReplaced struct {
	Reason string `json:"reason"`
}

// Kind is "agent-replaced".
func (AgentReplaced) Kind() string { return "agent-replaced" }

var (
	_ = register[Call]()
	_ = register[Tally]()
	_ = register[RoundTrip]()
	_ = register[Activity]()
	_ = register[AgentReplaced]()
)
