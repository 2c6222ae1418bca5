package faults_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// container is a replica whose engine is made up: it needs more than a bound
// leaves it of both processor and memory.
type container struct {
	*replica
	mu     sync.Mutex
	cpus   float64
	memory int64
	usage  journal.Usage
	delay  time.Duration
}

// disturbed is its network while packets are disturbed.
type disturbed struct {
	c *container
	journal.PacketCount
}

func (c *container) Disturb(_ context.Context, p faults.Packets) (faults.Disturbance, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay = p.Delay
	n := journal.PacketCount{Sent: 1000, Dropped: uint64(1000 * p.Loss), Twice: uint64(1000 * p.Duplication)}
	n.Again = n.Dropped + uint64(1000*p.Corruption)
	return &disturbed{c, n}, nil
}

func (d *disturbed) End(context.Context) (journal.PacketCount, error) {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	d.c.delay = 0
	return d.PacketCount, nil
}

// slow is how much longer an answer takes now.
func (c *container) slow() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.delay
}

var (
	_ faults.Bounded   = (*container)(nil)
	_ faults.Networked = (*container)(nil)
)

const (
	machine = 1 << 33 // bytes of memory
	holds   = 12 << 20
)

func (c *container) BoundCPUs(_ context.Context, cpus float64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cpus = cpus
	return nil
}

func (c *container) BoundMemory(_ context.Context, bytes int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory = bytes
	return nil
}

func (c *container) Usage(context.Context) (journal.Usage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.usage.HeldBytes, c.usage.Bytes, c.usage.LimitBytes = holds, 2*holds, machine
	if c.cpus > 0 {
		c.usage.Periods += 2
		c.usage.Throttled++
	}
	if c.memory > 0 {
		c.usage.LimitBytes, c.usage.Bytes = c.memory, min(c.memory, c.usage.Bytes)
	}
	return c.usage, nil
}

// containerStage is a replica in a container.
func containerStage(t *testing.T) *stage {
	s := replicaStage(t)
	c := &container{replica: s.target.(*replica)}
	c.replica.slow = c.slow
	s.target = c
	return s
}

// TestBoundedElsewhere wants to hear that a process cannot be bounded here, and
// that what is no process cannot be bounded at all.
func TestBoundedElsewhere(t *testing.T) {
	for _, kind := range []string{
		"cpu_limit", "memory_limit", "packet_loss", "packet_delay", "packet_duplication", "packet_corruption",
	} {
		f, err := faults.New(kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Supports(&replica{}); !notHere(err, "environment: docker") {
			t.Errorf("%s on a process: %v", kind, err)
		}
		if err := f.Supports(bare{}); err == nil || notHere(err, "") {
			t.Errorf("%s on what can do nothing: %v", kind, err)
		}
	}
	for _, f := range []faults.Fault{
		&faults.CPULimit{}, &faults.MemoryLimit{}, &faults.MemoryLimit{Bytes: 1}, &faults.PacketLoss{},
		&faults.PacketDuplication{Ratio: 1.1}, &faults.PacketCorruption{Ratio: -1}, &faults.PacketDelay{},
		&faults.PacketDelay{Delay: 1, Jitter: 2},
	} {
		if err := f.Supports(&container{}); err == nil {
			t.Errorf("%s is supported", f)
		}
	}
}

func notHere(err error, says string) bool {
	return errors.Is(err, faults.ErrNotHere) && strings.Contains(err.Error(), says)
}
