package faults

import (
	"context"

	"github.com/Shopify/toxiproxy/v2/toxics"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Blackhole lets nothing through a proxied dependency, in either direction:
// connects succeed, and then there is silence, also on connections that are
// already open. A hang-up of one side is not passed on to the other. Reverting
// it cuts the connections that it held; restored means that a new connection
// works.
//
// In force: no round trip of ours in the window was answered. On a tcp
// dependency, whose round trip is a bare connect, the toxic's own count has to
// do. Exercised: bytes or connections other than ours came from the service.
type Blackhole struct{}

var _ = register("blackhole", func() Fault { return new(Blackhole) })

// String is the fault in one line.
func (*Blackhole) String() string { return "blackhole" }

// Supports wants a proxied dependency.
func (*Blackhole) Supports(t Target) error {
	_, err := proxied("blackhole", t)
	return err
}

// Inject holds both streams.
func (*Blackhole) Inject(ctx context.Context, t Target) (Injection, error) {
	return injectToxics(ctx, "blackhole", t, []string{Upstream, Downstream}, blackholeToxic, nil)
}

// Witness wants silence.
func (*Blackhole) Witness(j journal.Journal, target string, w journal.Window) error {
	return witnessSilence(scene{j, target, w})
}

func witnessSilence(s scene) error {
	trips := spoken(s.trips(s.w))
	if len(trips) == 0 {
		return s.shaped("held")
	}
	if err := s.unanswered(trips); err != nil {
		return err
	}
	return s.exercised()
}

const blackholeToxic = OwnToxics + "blackhole"

func init() { toxics.Register(blackholeToxic, new(blackhole)) }

// blackhole holds the first chunk that comes and reads no further, so that a
// sender's buffers fill as they would on a dead network. Toxiproxy's own
// timeout toxic throws data away and passes hang-ups on.
type blackhole struct{ counted }

// Pipe holds until the toxic is interrupted.
func (t *blackhole) Pipe(stub *toxics.ToxicStub) {
	select {
	case <-stub.Interrupt:
		return
	case c := <-stub.Input:
		if c != nil {
			t.count()
		}
	}
	<-stub.Interrupt
}

// Cleanup cuts the connection: what was held is lost.
func (*blackhole) Cleanup(stub *toxics.ToxicStub) { end(stub) }
