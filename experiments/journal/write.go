package journal

import (
	"crypto/sha256"
	"encoding/hex"
)

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
	// Value is the [Digest] of what must be stored; empty when nothing is named.
	Value string `json:"value,omitempty"`
}

// Digest tells values apart without keeping them: hex SHA-256, first 16 digits.
// That of nothing is empty.
func Digest(value string) string {
	if value == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:8])
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
	Count int    `json:"count"` // zero: it was asked for, and is not stored
	ID    string `json:"id,omitempty"`
	Value string `json:"value,omitempty"` // the [Digest] of what is stored
}

// Kind is "stored".
func (Stored) Kind() string { return "stored" }

// Ledger closes the reading of stored rows: how many rows were read in all.
// Without it the stored rows are not known, and no write can be called lost.
type Ledger struct {
	Rows int `json:"rows"`
	// Asked says that writes were asked for one by one: what is stored of those
	// without a [Stored] entry is not known.
	Asked bool   `json:"asked,omitempty"`
	Err   string `json:"err,omitempty"`
}

// Kind is "ledger".
func (Ledger) Kind() string { return "ledger" }

var (
	_ = register[Write]()
	_ = register[Submission]()
	_ = register[Stored]()
	_ = register[Ledger]()
)
