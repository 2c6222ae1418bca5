package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// StalledBody lets an HTTP stub send headers and the beginning of the body, and
// then drip: the answer never ends. Reverting it cuts the connections that it
// held.
//
// In force and exercised, from the stub's record of its calls: calls came, and
// those that were drawn got a status but never the end of an answer.
type StalledBody struct {
	// AfterBytes is how much of the body comes at once. Default 1.
	AfterBytes int `yaml:"after_bytes" json:"after_bytes,omitempty"`
	// Every is the time between the single bytes that follow; zero: nothing
	// follows. Default 1s.
	Every time.Duration `yaml:"every" json:"every,omitempty"`
	Calls `yaml:",inline"`
}

var _ = register("stalled_body", func() Fault {
	return &StalledBody{AfterBytes: 1, Every: time.Second, Calls: Calls{Ratio: 1}}
})

// String is the fault in one line.
func (f *StalledBody) String() string {
	return fmt.Sprintf("body stalls after %d bytes, then one every %v%s", f.AfterBytes, f.Every, f.Calls)
}

// Supports wants a stub and parameters that are not negative.
func (f *StalledBody) Supports(t Target) error {
	if f.AfterBytes < 0 || f.AfterBytes > 1<<20 || f.Every < 0 {
		return fmt.Errorf("stalled_body: after_bytes %d is not between 0 and 1 MiB, or every %v is negative",
			f.AfterBytes, f.Every)
	}
	_, err := f.supports("stalled_body", t)
	return err
}

// Inject stalls answers.
func (f *StalledBody) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	return f.inject(ctx, "stalled_body", t, Behaviour{Stall: true, StallAfter: f.AfterBytes, StallEvery: f.Every})
}

// Witness wants answers that were begun and not ended.
func (f *StalledBody) Witness(j journal.Journal, target string, w journal.Window) error {
	return f.witness("stalled_body", scene{j, target, w}, func(c journal.Call) string {
		if c.Answered == 0 {
			return ""
		}
		return fmt.Sprintf("was answered to the end after %v", round(c.Answered))
	})
}
