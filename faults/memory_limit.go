package faults

import (
	"context"
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// MemoryLimit bounds the memory of a container, a replica's or a dependency's,
// closely above what it holds, so that a little more load has it run into the
// bound; the kernel then takes back what it has cached of files, and kills what
// still wants more. Reverting it gives back what the subject grants, and starts
// the target again where it has ended.
//
// In force: the kernel's limit was lower than before. Exercised: nine tenths of
// it were in use, or the kernel killed for want of memory, and the target had
// work: a replica, when requests were due; a dependency, when the service used
// it.
type MemoryLimit struct {
	// Bytes is the bound, 6 MiB (6291456) at least. Zero, the default: Share
	// says.
	Bytes int64 `yaml:"bytes" json:"bytes,omitempty"`
	// Share is the bound as a multiple of what the target holds when the fault
	// begins, files that it has cached left out; a kernel with cgroup v1 takes
	// none below 1. Default 1.1.
	Share float64 `yaml:"share" json:"share,omitempty"`
}

var _ = register("memory_limit", func() Fault { return &MemoryLimit{Share: 1.1} })

// leastMemory is the least that container engines take.
const leastMemory = 6 << 20

// String is the fault in one line.
func (f *MemoryLimit) String() string {
	if f.Bytes > 0 {
		return fmt.Sprintf("memory limit, %d bytes", f.Bytes)
	}
	return fmt.Sprintf("memory limit, %g × what it holds", f.Share)
}

// Supports wants a container.
func (f *MemoryLimit) Supports(t Target) error {
	switch {
	case f.Bytes != 0 && f.Bytes < leastMemory:
		return fmt.Errorf("memory_limit: bytes %d is below %d, which is the least", f.Bytes, leastMemory)
	case f.Bytes == 0 && f.Share <= 0:
		return fmt.Errorf("memory_limit: share %g is not positive", f.Share)
	}
	_, err := bounded("memory_limit", t)
	return err
}

// Inject bounds it.
func (f *MemoryLimit) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	b := t.(Bounded)
	q := &squeeze{target: b}
	q.look(ctx)
	q.add(func(ctx context.Context) error { return startAgain(ctx, b) })
	q.add(func(ctx context.Context) error { return b.BoundMemory(ctx, 0) })
	if err := f.bound(ctx, b); err != nil {
		return nil, q.fail(ctx, fmt.Errorf("memory_limit: %w", err))
	}
	q.watch(ctx)
	return q, nil
}

// tries is how often a bound is set: what a target holds may grow between the
// look at it and the bound, which a kernel with cgroup v1 then refuses.
const tries = 5

func (f *MemoryLimit) bound(ctx context.Context, b Bounded) (err error) {
	for range tries {
		now, seen := b.Usage(ctx)
		if seen == nil && now.Ended {
			seen = errors.New("it does not run")
		}
		if seen != nil {
			return fmt.Errorf("look at what %q holds: %w", b.Name(), seen)
		}
		limit := f.Bytes
		if limit == 0 {
			limit = max(int64(f.Share*float64(now.HeldBytes)), leastMemory)
		}
		if err = b.BoundMemory(ctx, limit); err == nil {
			return nil
		}
		err = fmt.Errorf("%d bytes, of which %q holds %d: %w", limit, b.Name(), now.HeldBytes, err)
		if f.Bytes > 0 || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// startAgain starts a target that has ended, where that can be done.
func startAgain(ctx context.Context, b Bounded) error {
	now, err := b.Usage(ctx)
	r, ok := b.(Restartable)
	if err != nil || !now.Ended || !ok {
		return err
	}
	if err := r.Restart(ctx); err != nil {
		return fmt.Errorf("memory_limit: start %q again: %w", b.Name(), err)
	}
	return nil
}

// nearly is the share of a limit that counts as all of it.
const nearly = 0.9

// Witness asks what the kernel counted.
func (*MemoryLimit) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	before, during := s.usages()
	if len(before) == 0 || len(during) == 0 {
		return notInForce("nothing was learnt of the container of %q before the window and in it", target)
	}
	least, reached := before[0].LimitBytes, false
	for _, u := range append(before[1:], during...) {
		if u.LimitBytes > 0 {
			least = min(least, u.LimitBytes)
		}
	}
	if least == before[0].LimitBytes {
		return notInForce("the limit on the memory of %q stayed at %d bytes", target, least)
	}
	most := int64(0)
	for _, u := range during {
		reached = reached || u.OutOfMemory || float64(u.Bytes) >= nearly*float64(least)
		most = max(most, u.Bytes)
	}
	if !reached {
		return notExercised("%q used at most %d bytes of its %d", target, most, least)
	}
	return s.hit()
}
