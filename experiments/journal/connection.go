package journal

import "time"

// Manners in which a probe keeps a connection.
const (
	Silent     = "silent"      // nothing was ever sent
	Idle       = "idle"        // one request was answered, and none followed
	Unfinished = "unfinished"  // a request's head and half of its body were sent
	SlowHead   = "slow-head"   // a request's head, line by line, without an end
	SlowBody   = "slow-body"   // a request's body, byte by byte
	SlowReader = "slow-reader" // a large answer, of which nothing was read for long
)

// Connection is one connection that a probe kept to a replica without behaving
// as callers do, and what became of it. It is recorded when it has ended. The
// entry's On is the replica, its At the instant from which the server's patience
// counts: the connection's beginning, or for an idle one the end of the answer.
type Connection struct {
	Step   string `json:"step"`
	Manner string `json:"manner"`
	// Closed says that the service closed it, Reset that it did so by a reset;
	// else it was still open when we closed it.
	Closed bool `json:"closed,omitempty"`
	Reset  bool `json:"reset,omitempty"`
	// After is when it ended, by whomever.
	After time.Duration `json:"after"`
	// Received is the bytes of the answer, if there was one, and Status its
	// status.
	Received int64 `json:"received,omitempty"`
	Status   int   `json:"status,omitempty"`
	// Whole says that a slow reader got the whole answer, Paused for how long it
	// had read nothing before it began to.
	Whole  bool          `json:"whole,omitempty"`
	Paused time.Duration `json:"paused,omitempty"`
}

// Kind is "connection".
func (Connection) Kind() string { return "connection" }

var _ = register[Connection]()
