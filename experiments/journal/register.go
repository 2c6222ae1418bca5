package journal

// RegisterOp is one writing or reading of a register, a thing of which whoever
// reads it gets what was written last. The entry's On is the step, its At when
// the answer had come or the request was given up.
type RegisterOp struct {
	Attack  string `json:"attack"`
	Seq     uint64 `json:"seq"`
	Key     string `json:"key"`    // of the register
	Caller  int    `json:"caller"` // who asks for one thing after the other
	Replica string `json:"replica"`
	Write   bool   `json:"write,omitempty"` // else a read
	// Sent is when the request went out: it took effect between then and the
	// entry's At, or where the outcome is not known, then or later or never.
	Sent Instant `json:"sent"`
	// Outcome is [Acknowledged] or [UnknownOutcome].
	Outcome string `json:"outcome"`
	// Value is the [Digest] of what was written or read; empty when the register
	// was read and nothing was in it.
	Value string `json:"value,omitempty"`
	Code  int    `json:"code,omitempty"` // zero: no answer
	Err   string `json:"err,omitempty"`  // one of the Err constants
}

// Kind is "register-op".
func (RegisterOp) Kind() string { return "register-op" }

var _ = register[RegisterOp]()
