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

// Forms of a submission.
const (
	SubmittedFirst  = "first"      // alone, under a fresh key
	SubmittedAtOnce = "at-once"    // together with others of the same key and body
	SubmittedAgain  = "again"      // the same once more, after an answer
	SubmittedOther  = "other-body" // another body under the key
)

// Submission is one sending of a write that is submitted several times on
// purpose. The entry's On is the step.
type Submission struct {
	Attack  string `json:"attack"`
	Seq     uint64 `json:"seq"`
	Key     string `json:"key"`
	Form    string `json:"form"`
	Replica string `json:"replica"`
	Code    int    `json:"code,omitempty"` // zero: no answer
	Err     string `json:"err,omitempty"`  // one of the Err constants
	ID      string `json:"id,omitempty"`   // what a 2xx answer called it
	// BodyHash tells answers apart: hex SHA-256, first 16 digits.
	BodyHash string `json:"body_hash,omitempty"`
}

// Kind is "submission".
func (Submission) Kind() string { return "submission" }

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
	_ = register[Submission]()
	_ = register[Stored]()
	_ = register[Ledger]()
)
