package faults

import (
	"context"

	"github.com/seatrial/seatrial/experiments/journal"
)

// LostReply lets requests through to a proxied dependency and holds what comes
// back: the write is stored, and its answer never comes. Reverting it cuts the
// connections that it held.
//
// In force and exercised as with [Blackhole]; the service's bytes must have
// been sent on connections that carried them to the dependency.
type LostReply struct{}

var _ = register("lost_reply", func() Fault { return new(LostReply) })

// String is the fault in one line.
func (*LostReply) String() string { return "lost reply" }

// Supports wants a proxied dependency.
func (*LostReply) Supports(t Target) error {
	_, err := proxied("lost_reply", t)
	return err
}

// Inject holds the downstream.
func (*LostReply) Inject(ctx context.Context, t Target) (Injection, error) {
	return injectToxics(ctx, "lost_reply", t, []string{Downstream}, blackholeToxic, nil)
}

// Witness wants silence.
func (*LostReply) Witness(j journal.Journal, target string, w journal.Window) error {
	return witnessSilence(scene{j, target, w})
}
