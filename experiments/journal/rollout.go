package journal

import "time"

// Migrated says that a migrator began or ended. The entry's On is the step.
type Migrated struct {
	Migrator int           `json:"migrator"` // from 1; several may work at once
	Began    bool          `json:"began,omitempty"`
	Took     time.Duration `json:"took,omitempty"`
	Err      string        `json:"err,omitempty"` // why it ended without success
}

// Kind is "migrated".
func (Migrated) Kind() string { return "migrated" }

// Filled says that a table was made large before the load began, by the
// subject's own statement. The entry's On is the dependency.
type Filled struct {
	Rows int           `json:"rows"`
	Took time.Duration `json:"took"`
}

// Kind is "filled".
func (Filled) Kind() string { return "filled" }

// Rolled says that a replica was replaced by one of another version. The
// entry's On is the replica.
type Rolled struct {
	Version string `json:"version"`       // next or current
	Err     string `json:"err,omitempty"` // why it did not become ready
}

// Kind is "rolled".
func (Rolled) Kind() string { return "rolled" }

// CrossRead is one read at one replica of what was written at another. The
// entry's On is the step.
type CrossRead struct {
	Writer string `json:"writer"` // replicas
	Reader string `json:"reader"`
	Route  string `json:"route"` // of the read
	Attack string `json:"attack"`
	Seq    uint64 `json:"seq"` // of the read
	OK     bool   `json:"ok,omitempty"`
	Code   int    `json:"code,omitempty"`
	Err    string `json:"err,omitempty"` // one of the Err constants
}

// Kind is "cross-read".
func (CrossRead) Kind() string { return "cross-read" }

// TableLock is a lock on a table that somebody holds or waits for.
type TableLock struct {
	PID     int    `json:"pid"`
	Table   string `json:"table"`
	Mode    string `json:"mode"` // as in pg_locks: AccessExclusiveLock
	Granted bool   `json:"granted,omitempty"`
}

// Session is a backend as the lock watch sees it: one that waits for a lock, or
// that is none of the service's and has a transaction.
type Session struct {
	PID     int    `json:"pid"`
	User    string `json:"user,omitempty"`
	App     string `json:"app,omitempty"`
	Service bool   `json:"service,omitempty"` // of the service's role
	Waits   bool   `json:"waits,omitempty"`   // for a lock
	// Statement tells a backend's statements apart: when the present one began,
	// in microseconds of the server's clock.
	Statement int64         `json:"statement,omitempty"`
	XactAge   time.Duration `json:"xact_age,omitempty"`
	Query     string        `json:"query,omitempty"` // its first words, of migrators only
}

// Locks is one sample of pg_locks and pg_stat_activity while a migration goes
// on. The entry's On is the dependency. Err says why it could not be taken.
type Locks struct {
	Sessions []Session   `json:"sessions,omitempty"`
	Tables   []TableLock `json:"tables,omitempty"`
	Err      string      `json:"err,omitempty"`
}

// Kind is "locks".
func (Locks) Kind() string { return "locks" }

var (
	_ = register[Migrated]()
	_ = register[Filled]()
	_ = register[Rolled]()
	_ = register[CrossRead]()
	_ = register[Locks]()
)
