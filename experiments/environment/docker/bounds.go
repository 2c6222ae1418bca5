package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Engines count a bound on processors as a share of periods of this length.
const boundPeriod = 100 * time.Millisecond

// unbounded takes a bound off.
const unbounded = -1

// BoundCPUs implements [faults.Bounded]. An engine that was told a number of
// processors when it made the container takes only another such number; where it
// was told none, it takes a share that can be taken off again.
func (b *box) BoundCPUs(ctx context.Context, cpus float64) error {
	var r container.Resources
	switch {
	case b.cpus > 0:
		r.NanoCPUs = int64(cmp.Or(cpus, b.cpus) * 1e9)
	case cpus > 0:
		r.CPUPeriod, r.CPUQuota = boundPeriod.Microseconds(), int64(cpus*float64(boundPeriod.Microseconds()))
	default:
		r.CPUQuota = unbounded
	}
	return b.update(ctx, "bound the processors", r)
}

// BoundMemory implements [faults.Bounded]. Not every engine takes a bound off
// again: all the memory that there is, is as good.
func (b *box) BoundMemory(ctx context.Context, bytes int64) error {
	limit := cmp.Or(bytes, b.memory)
	r := container.Resources{Memory: limit, MemorySwap: limit}
	if limit == 0 {
		all, err := b.engine.client.Info(ctx, client.InfoOptions{})
		if err != nil {
			return fmt.Errorf("ask the engine for its memory: %w", err)
		}
		// Of swap, too, as much: without a number of its own the engine writes the
		// new limit before that of swap, which cgroup v1 refuses while it is lower.
		r.Memory, r.MemorySwap = all.Info.MemTotal, all.Info.MemTotal
	}
	return b.update(ctx, "bound the memory", r)
}

func (b *box) update(ctx context.Context, what string, r container.Resources) error {
	if _, err := b.engine.client.ContainerUpdate(ctx, b.id, client.ContainerUpdateOptions{Resources: &r}); err != nil {
		return fmt.Errorf("%s of container %.12s: %w", what, b.id, oneLine(err))
	}
	return nil
}

// Usage implements [faults.Bounded].
func (b *box) Usage(ctx context.Context) (journal.Usage, error) {
	seen, err := b.engine.client.ContainerInspect(ctx, b.id, client.ContainerInspectOptions{})
	if err != nil {
		return journal.Usage{}, fmt.Errorf("look at container %.12s: %w", b.id, err)
	}
	s, err := b.stats(ctx)
	if err != nil {
		return journal.Usage{}, err
	}
	u := usageOf(s)
	if state := seen.Container.State; state != nil {
		u.OutOfMemory, u.Ended = state.OOMKilled, !state.Running
	}
	return u, nil
}

// stats are the engine's figures of a container.
func (b *box) stats(ctx context.Context) (s container.StatsResponse, err error) {
	answer, err := b.engine.client.ContainerStats(ctx, b.id, client.ContainerStatsOptions{})
	if err == nil {
		err = errors.Join(json.NewDecoder(answer.Body).Decode(&s), answer.Body.Close())
	}
	if err != nil {
		return s, fmt.Errorf("ask what container %.12s uses: %w", b.id, err)
	}
	return s, nil
}

// usageOf reads an engine's figures. What is cached of files is called file by
// cgroup v2 and cache by v1.
func usageOf(s container.StatsResponse) journal.Usage {
	held, memory := s.CPUStats.ThrottlingData, s.MemoryStats
	cached := cmp.Or(memory.Stats["file"], memory.Stats["total_cache"], memory.Stats["cache"])
	return journal.Usage{
		Periods: held.Periods, Throttled: held.ThrottledPeriods,
		ThrottledFor: time.Duration(held.ThrottledTime),
		Bytes:        int64(memory.Usage),
		LimitBytes:   int64(min(memory.Limit, 1<<62)),
		HeldBytes:    int64(memory.Usage - min(memory.Usage, cached)),
	}
}
