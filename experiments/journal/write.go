package journal

// Outcomes of a write, as far as the caller can know.
const (
	Acknowledged   = "acknowledged"    // answered as a success: it must be stored, once
	Refused        = "refused"         // answered with 4xx, 429 or 503: it should not be stored
	UnknownOutcome = "unknown-outcome" // no answer, or 5xx: it may be stored, or not
)

// Write is one request whose effect the ledger follows. The entry's On is the
// traffic request's name.
type Write struct {
	Attack  string `json:"attack"`
	Seq     uint64 `json:"seq"`
	Key     string `json:"key"` // unique; found again in the stored rows
	Outcome string `json:"outcome"`
	Code    int    `json:"code,omitempty"`
	ID      string `json:"id,omitempty"` // what the answer called it
}

// Kind is "write".
func (Write) Kind() string { return "write" }

// Stored is how often a key was found in the service's storage after the run.
// The entry's On is the dependency or the read route that was asked.
type Stored struct {
	Key   string `json:"key"`
	Count int    `json:"count"`
	ID    string `json:"id,omitempty"`
}

// Kind is "stored".
func (Stored) Kind() string { return "stored" }

// Ledger closes the reading of stored rows: how many rows were read in all.
// Without it the stored rows are not known, and no write can be called lost.
type Ledger struct {
	Rows int    `json:"rows"`
	Err  string `json:"err,omitempty"`
}

// Kind is "ledger".
func (Ledger) Kind() string { return "ledger" }

var (
	_ = register[Write]()
	_ = register[Stored]()
	_ = register[Ledger]()
)
