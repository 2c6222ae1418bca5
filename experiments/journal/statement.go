package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Stages of a [Statement].
const (
	// StageStartup is the opening of a connection: until the first
	// ReadyForQuery, or its refusal.
	StageStartup = "startup"
	// StageParse is a Parse message of the extended protocol: the preparing of
	// a statement.
	StageParse = "parse"
	// StageBind is a Bind that failed; one that did not is part of the execution.
	StageBind = "bind"
	// StageExecute is an execution by the extended protocol.
	StageExecute = "execute"
	// StageQuery is a Query message of the simple protocol, which may hold
	// several statements.
	StageQuery = "query"
)

// States of a transaction, as ReadyForQuery tells them.
const (
	TxIdle   = "I" // no transaction
	TxOpen   = "T"
	TxFailed = "E" // what comes next is refused until it is rolled back
)

// Statement is something that the wire tap before a Postgres server saw asked
// and answered. The entry's On is the dependency, its At when the tap had read
// the message. Values are in none of it: literals in the text are replaced by
// "?", parameters are never kept.
type Statement struct {
	Conn  uint64 `json:"conn"` // the connection's number at this tap, from 1
	PID   int    `json:"pid,omitempty"`
	App   string `json:"app,omitempty"`   // application_name, of a startup
	Stage string `json:"stage"`           // one of the Stage constants
	Text  string `json:"text,omitempty"`  // normalised, at most 1000 bytes
	Tx    string `json:"tx,omitempty"`    // the transaction's state before
	After string `json:"after,omitempty"` // and at the next ReadyForQuery; empty: there was none
	// Tag is the CommandComplete's, of several the last one: "INSERT 0 1".
	Tag      string        `json:"tag,omitempty"`
	Rows     int           `json:"rows,omitempty"`     // DataRow messages
	SQLState string        `json:"sqlstate,omitempty"` // of the error; empty: none
	Took     time.Duration `json:"took"`               // until its answer's end
	// Unfinished says that the connection ended before the answer did.
	Unfinished bool `json:"unfinished,omitempty"`
	// Canary says where the run's [Canary] was seen: "text" (of a Parse or a
	// Query), "bind" (among the parameters); empty: it was not.
	Canary string `json:"canary,omitempty"`
	// Fault is the fault that shaped the answer, Done what it did to it: "error",
	// "cut" or "held".
	Fault string `json:"fault,omitempty"`
	Done  string `json:"done,omitempty"`
	// Held is how long the ReadyForQuery was held back.
	Held time.Duration `json:"held,omitempty"`
}

// Kind is "statement".
func (Statement) Kind() string { return "statement" }

var _ = register[Statement]()

// What a fault did to a [Statement].
const (
	DoneError = "error" // the server's answer is an error of the fault's choosing
	DoneCut   = "cut"   // the connection was cut in the answer
	DoneHeld  = "held"  // the ReadyForQuery was held back
)

// Where a [Statement] had the run's canary.
const (
	CanaryText = "text"
	CanaryBind = "bind"
)

// Canary is a run's own word of 32 hexadecimal digits: sent as a value, it shows
// where values go. It is a function of the run's id, so that nobody has to be
// told it, and occurs nowhere else.
func Canary(run string) string {
	sum := sha256.Sum256([]byte("seatrial canary of " + run))
	return hex.EncodeToString(sum[:16])
}
