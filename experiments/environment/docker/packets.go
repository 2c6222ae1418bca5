package docker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/netem"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

var _ environment.Choosy = (*Backend)(nil)

// Disturb implements [faults.Networked]: a container of the agent's image joins
// the network of this one and holds the disturbance there until it is ended, or
// seatrial is.
func (b *box) Disturb(ctx context.Context, p faults.Packets) (faults.Disturbance, error) {
	return b.owner.disturb(ctx, "container:"+b.id, p)
}

// helper is the container that holds a disturbance.
type helper struct {
	run  *run
	pipe *io.PipeReader
	said *bufio.Reader
	once sync.Once
	last netem.Answer
	err  error
}

func (e *Environment) disturb(ctx context.Context, network string, p faults.Packets) (_ *helper, err error) {
	image, err := e.backend.agentImage(ctx, e.Subject, e.Options.Progress)
	if err != nil {
		return nil, err
	}
	made, err := e.make(ctx, plain, order{
		image: image, network: network, stdin: true, noCaps: true, netAdmin: true,
		env: map[string]string{reexec.Env: netem.Role},
	}, e.NewLines(netem.Role))
	if err != nil {
		return nil, err
	}
	said, out := io.Pipe()
	defer func() {
		if err != nil {
			err = errors.Join(err, said.Close(), made.remove(context.WithoutCancel(ctx)))
		}
	}()
	r, err := made.start(ctx, func(spawn.Exit) { _ = out.Close() }, out)
	if err != nil {
		return nil, err
	}
	h := &helper{run: r, pipe: said, said: bufio.NewReader(said)}
	if err := json.NewEncoder(r.stream.Conn).Encode(netem.Request{Packets: p}); err != nil {
		return nil, fmt.Errorf("tell the network's helper what to do: %w", err)
	}
	a, err := h.answer(ctx)
	if err == nil {
		err = a.Error()
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// answerBy bounds the wait for an answer of the helper.
const answerBy = 15 * time.Second

// answer reads the helper's next answer.
func (h *helper) answer(ctx context.Context) (netem.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerBy)
	defer cancel()
	// Without its container nothing is said any more.
	defer context.AfterFunc(ctx, func() { _ = h.run.box.remove(context.WithoutCancel(ctx)) })()
	line, err := h.said.ReadBytes('\n')
	if err != nil {
		return netem.Answer{}, fmt.Errorf("read what the network's helper answers: %w (it printed: %q)",
			errors.Join(ctx.Err(), err), h.run.box.lines.Tail())
	}
	return netem.DecodeAnswer(line)
}

// End implements [faults.Disturbance].
func (h *helper) End(ctx context.Context) (journal.PacketCount, error) {
	h.once.Do(func() {
		if h.err = h.run.stream.CloseWrite(); h.err == nil {
			h.last, h.err = h.answer(ctx)
		}
		if h.err == nil {
			h.err = h.last.Error()
		}
		h.err = errors.Join(h.err, h.pipe.Close(), h.run.box.remove(context.WithoutCancel(ctx)))
	})
	return h.last.Count, h.err
}

// Refuses implements [environment.Choosy]: packets are disturbed only where the
// engine's kernel can.
func (b *Backend) Refuses(ctx context.Context, s *subject.Subject, f faults.Fault) error {
	if _, ok := f.(faults.Disturbing); !ok {
		return nil
	}
	b.packets.Do(func() { b.noPackets = b.tryPackets(ctx, s) })
	return b.noPackets
}

// tryPackets disturbs packets in a network that nothing else is in.
func (b *Backend) tryPackets(ctx context.Context, s *subject.Subject) error {
	e := newEnvironment(b, s, journal.NewMemory(journal.Header{}), environment.Options{Trial: "packets"})
	h, err := e.disturb(ctx, "bridge", faults.Packets{Delay: time.Millisecond})
	if err != nil {
		return err
	}
	_, err = h.End(ctx)
	return err
}

// CheckPackets says why faults cannot disturb packets on this machine's engine;
// nil when they can.
func CheckPackets(ctx context.Context) (err error) {
	b := &Backend{}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.open(ctx); err != nil {
		return err
	}
	return b.Refuses(ctx, &subject.Subject{}, new(faults.PacketLoss))
}
