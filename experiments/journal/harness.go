package journal

import "time"

// Sleeper is the harness's own noise: what the control sleepers overshot since
// the entry before. A short one sleeps 20 ms again and again, a long one
// 200 ms.
type Sleeper struct {
	Sleep      time.Duration   `json:"sleep"`
	Overshoots []time.Duration `json:"overshoots"`
}

// Kind is "sleeper".
func (Sleeper) Kind() string { return "sleeper" }

// Attack says what an attack had planned and what came of it; it is recorded
// when the attack begins (with Planned only) and when it ends. The entry's On
// is the attack's name.
type Attack struct {
	Began   bool          `json:"began,omitempty"`
	Pacer   string        `json:"pacer,omitempty"` // in words
	From    Instant       `json:"from"`            // t0: the due time of hit 0
	For     time.Duration `json:"for"`
	Planned uint64        `json:"planned"`
	Sent    uint64        `json:"sent"`
	Dropped uint64        `json:"dropped"`
	// InFlightMax is the cap on requests in flight; Peak the most there were.
	InFlightMax int `json:"in_flight_max"`
	Peak        int `json:"peak"`
	// Timeout is our client's own, per request.
	Timeout time.Duration `json:"timeout"`
	// Retries is how often its clients try a hit again, Tries how often they
	// sent one in all; zero for clients that do not try again.
	Retries int    `json:"retries,omitempty"`
	Tries   uint64 `json:"tries,omitempty"`
	// Strange says that its hits asked for what nobody has heard of, and
	// BrokenTrace that they carried a trace header that is not valid.
	Strange     bool   `json:"strange,omitempty"`
	BrokenTrace bool   `json:"broken_trace,omitempty"`
	Error       string `json:"error,omitempty"`
}

// Kind is "attack".
func (Attack) Kind() string { return "attack" }

// Measured is a figure that an operation found out while the run went on, such
// as the capacity of a replica. The entry's On is the step's name.
type Measured struct {
	Quantity
}

// Kind is "measured".
func (Measured) Kind() string { return "measured" }

// Purposes of an assessment.
const (
	PurposeGate      = "gate"      // before the first fault
	PurposeGuardrail = "guardrail" // aborts
	PurposeStop      = "stop"      // ends a window early
)

// Assessment is the answer of a detector that the runner asked on the journal's
// head. Judging computes it again. The entry's On is the step that a stop rule
// belongs to, else the detector.
type Assessment struct {
	Purpose    string     `json:"purpose"`
	Detector   string     `json:"detector"`
	Outcome    string     `json:"outcome"` // held, violated, unknown, not applicable
	Reason     string     `json:"reason"`
	Quantities []Quantity `json:"quantities,omitempty"`
	// Seen is the head it was asked on. Nil: one of an earlier version, which did
	// not take it down.
	Seen *Extent `json:"seen,omitempty"`
}

// Kind is "assessment".
func (Assessment) Kind() string { return "assessment" }

// Clock is how far another source's clock is off: its instants plus Offset are
// the runner's, give or take Error. The entry's On is the source.
type Clock struct {
	Offset time.Duration `json:"offset"`
	Error  time.Duration `json:"error"`
}

// Kind is "clock".
func (Clock) Kind() string { return "clock" }

// Phase marks a part of the run: "setup", "steady", "method", "recovery",
// "settle", "end". The entry is recorded when the part begins.
type Phase struct {
	Name string `json:"name"`
}

// Kind is "phase".
func (Phase) Kind() string { return "phase" }

// Aborted says why the run was ended before its plan was carried out.
type Aborted struct {
	By     string `json:"by"` // interrupt, guardrail, gate, error
	Reason string `json:"reason"`
}

// Kind is "aborted".
func (Aborted) Kind() string { return "aborted" }

// Note is a remark for the reader; no detector rests on it.
type Note struct {
	Text string `json:"text"`
}

// Kind is "note".
func (Note) Kind() string { return "note" }

var (
	_ = register[Sleeper]()
	_ = register[Attack]()
	_ = register[Measured]()
	_ = register[Assessment]()
	_ = register[Clock]()
	_ = register[Phase]()
	_ = register[Aborted]()
	_ = register[Note]()
)
