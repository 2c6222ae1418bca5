package docker

import (
	"context"
	"errors"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// carriedEvery is how often an engine is asked what a Toxiproxy received.
const carriedEvery = 100 * time.Millisecond

// packetBytes is at least what a packet has beside its payload, as an engine
// counts it: 14 of Ethernet, 20 of IP, 32 of TCP; 40 with a connection's first
// one. With 72 our own small exchanges do not count.
const packetBytes = 72

// watchCarried records what a Toxiproxy's container receives, beside what its
// packets are made of, until the environment is taken down.
func (e *Environment) watchCarried(b *box, dependency string) {
	e.watching.Go(func() {
		tick := time.NewTicker(carriedEvery)
		defer tick.Stop()
		last, err := b.received(e.life)
		for e.life.Err() == nil {
			select {
			case <-tick.C:
			case <-e.life.Done():
				return
			}
			known := err == nil
			var now container.NetworkStats
			if now, err = b.received(e.life); err != nil || !known {
				continue
			}
			e.Journal.Record(journal.Entry{On: dependency, Body: journal.Carried{Bytes: payload(last, now)}})
			last = now
		}
	})
}

// received is what a container's network has counted.
func (b *box) received(ctx context.Context) (sum container.NetworkStats, err error) {
	s, err := b.stats(ctx)
	if err != nil {
		return sum, err
	}
	for _, n := range s.Networks {
		sum.RxBytes += n.RxBytes
		sum.RxPackets += n.RxPackets
	}
	return sum, nil
}

// payload is how many bytes came in at the least, beside what packets are made
// of.
func payload(before, now container.NetworkStats) uint64 {
	bytes, packets := now.RxBytes-before.RxBytes, now.RxPackets-before.RxPackets
	if now.RxBytes < before.RxBytes || bytes < packetBytes*packets {
		return 0
	}
	return bytes - packetBytes*packets
}

// Targets are all dependencies in the subject's order, then all replicas, which
// are containers.
func (e *Environment) Targets() []faults.Target {
	all := append(e.plain[:len(e.plain):len(e.plain)], e.Base.Targets()...)
	return e.contained(all)
}

// Flush has everything recorded that the agent still holds; what Toxiproxies
// carried has been.
func (e *Environment) Flush(ctx context.Context) error {
	switch {
	case !e.Subject.Agentless():
		return e.Base.Flush(ctx)
	case e.life.Err() != nil:
		return errors.New("flush: the environment has been taken down")
	}
	return nil
}
