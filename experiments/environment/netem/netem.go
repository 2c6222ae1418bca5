// Package netem disturbs the packets that leave a network namespace, with the
// kernel's own network emulator (tc netem). It is played by a process in that
// namespace, which holds the disturbance for as long as it is talked to: by
// [Main] in a container of its own that shares the network of another one, so
// that it works wherever the engine is, and asks nothing of the host.
package netem

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seatrial/seatrial/experiments/environment/reexec"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// Role is that of the process, for a program that is started again.
const Role = "netem"

var _ = reexec.Register(Role, func(ctx context.Context, _ []string) error {
	return Main(ctx, os.Stdin, os.Stdout)
})

// Request is what is asked of the process, as one line of JSON: the end of its
// input ends the disturbance.
type Request struct {
	Packets faults.Packets `json:"packets"`
}

// Answer is what it answers, one line each: when the disturbance is in force,
// and when it has ended.
type Answer struct {
	// Count is what the kernel counted, in the second answer.
	Count journal.PacketCount `json:"count"`
	// Err says what went wrong; then no second answer comes. Missing says that
	// this kernel cannot do it.
	Err     string `json:"err,omitempty"`
	Missing bool   `json:"missing,omitempty"`
}

// Error is the answer's error, which wraps [faults.ErrNotHere] where the kernel
// cannot do it; nil when there is none.
func (a Answer) Error() error {
	switch {
	case a.Missing:
		return fmt.Errorf("%w: %s", faults.ErrNotHere, a.Err)
	case a.Err != "":
		return errors.New(a.Err)
	}
	return nil
}

// DecodeAnswer reads one line that the process printed.
func DecodeAnswer(line []byte) (Answer, error) {
	var a Answer
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		return a, fmt.Errorf("read what the network's helper answered: %w", err)
	}
	return a, nil
}

// Main is the process's body.
func Main(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	return hold(ctx, system{}, stdin, stdout)
}

// kernel is what is asked of the kernel, all of it in this network namespace.
type kernel interface {
	// Links are the devices that packets leave by, the loopback left out.
	Links() ([]int, error)
	// Add has a device disturb what leaves it; Remove takes that back. An error
	// that is a lack says that the kernel cannot.
	Add(link int, p faults.Packets) error
	Remove(link int) error
	// Count is what was counted so far, of a device and of the namespace.
	Count(link int) (sent, dropped uint64, err error)
	TCP() (again, twice uint64, err error)
}

// lack is a reason why the kernel cannot disturb packets.
type lack struct{ reason string }

// Error is the reason.
func (l lack) Error() string { return l.reason }

// hold disturbs until the end of the input, and takes it back whatever happens.
func hold(ctx context.Context, k kernel, stdin io.Reader, stdout io.Writer) (err error) {
	answer := json.NewEncoder(stdout)
	dec := json.NewDecoder(stdin)
	dec.DisallowUnknownFields()
	var r Request
	if err := dec.Decode(&r); err != nil {
		return fmt.Errorf("read what to do with packets: %w", err)
	}
	d, err := begin(k, r.Packets)
	if err != nil {
		var missing lack
		return answer.Encode(Answer{Err: err.Error(), Missing: errors.As(err, &missing)})
	}
	if err := answer.Encode(Answer{}); err != nil {
		return errors.Join(err, d.undo())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, stdin) // its end is what counts
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	count, err := d.count()
	if err = errors.Join(err, d.undo()); err != nil {
		return answer.Encode(Answer{Err: err.Error()})
	}
	return answer.Encode(Answer{Count: count})
}

// disturbance is one in force on some devices.
type disturbance struct {
	kernel kernel
	links  []int
	before journal.PacketCount // of TCP, which counts on
}

func begin(k kernel, p faults.Packets) (*disturbance, error) {
	links, err := k.Links()
	if err != nil {
		return nil, fmt.Errorf("list the network's devices: %w", err)
	}
	if len(links) == 0 {
		return nil, errors.New("the container's network has no device that packets leave by")
	}
	d := &disturbance{kernel: k}
	if d.before.Again, d.before.Twice, err = k.TCP(); err != nil {
		return nil, fmt.Errorf("read what TCP counted: %w", err)
	}
	for _, link := range links {
		if err := k.Add(link, p); err != nil {
			return nil, errors.Join(fmt.Errorf("disturb device %d: %w", link, err), d.undo())
		}
		d.links = append(d.links, link)
	}
	return d, nil
}

// undo takes all of it back.
func (d *disturbance) undo() error {
	var errs []error
	for _, link := range d.links {
		if err := d.kernel.Remove(link); err != nil {
			errs = append(errs, fmt.Errorf("leave device %d alone again: %w", link, err))
		}
	}
	d.links = nil
	return errors.Join(errs...)
}

// count is what was counted since the beginning.
func (d *disturbance) count() (c journal.PacketCount, err error) {
	for _, link := range d.links {
		sent, dropped, err := d.kernel.Count(link)
		if err != nil {
			return c, fmt.Errorf("read what device %d counted: %w", link, err)
		}
		c.Sent, c.Dropped = c.Sent+sent+dropped, c.Dropped+dropped
	}
	again, twice, err := d.kernel.TCP()
	if err != nil {
		return c, fmt.Errorf("read what TCP counted: %w", err)
	}
	c.Again, c.Twice = again-d.before.Again, twice-d.before.Twice
	return c, nil
}
