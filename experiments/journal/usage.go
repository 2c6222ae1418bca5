package journal

import "time"

// Usage is what a container engine says of a container, as its kernel counts it.
// The entry's On is the replica or the dependency. It is recorded while a fault
// bounds the container.
type Usage struct {
	// Periods are the kernel's periods in which a bound on its processors was
	// watched, Throttled those in which it was held back by it, ThrottledFor for
	// how long; all since its start.
	Periods      uint64        `json:"periods,omitempty"`
	Throttled    uint64        `json:"throttled,omitempty"`
	ThrottledFor time.Duration `json:"throttled_for,omitempty"`
	// Bytes is the memory in use, HeldBytes what of it is not cached of files,
	// LimitBytes the most that there may be.
	Bytes      int64 `json:"bytes,omitempty"`
	HeldBytes  int64 `json:"held_bytes,omitempty"`
	LimitBytes int64 `json:"limit_bytes,omitempty"`
	// OutOfMemory says that the kernel killed something in it because there was
	// no memory within the limit; Ended that it does not run.
	OutOfMemory bool `json:"out_of_memory,omitempty"`
	Ended       bool `json:"ended,omitempty"`
	// Err says why nothing could be learnt.
	Err string `json:"err,omitempty"`
}

// Kind is "usage".
func (Usage) Kind() string { return "usage" }

var _ = register[Usage]()
