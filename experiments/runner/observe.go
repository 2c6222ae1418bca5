package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/observe"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// newReplicasEvery is how often replicas that scaling has added are looked for.
const newReplicasEvery = 250 * time.Millisecond

// observe starts everything that records all through the run, also for replicas
// that are added later. The function it returns ends them and returns when the
// last one has.
func (r *run) observe(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	begin := func(observers []observe.Observer) {
		for _, o := range observers {
			all.Go(func() {
				err := o.Observe(ctx, r.rec)
				if err != nil && !errors.Is(err, context.Canceled) {
					r.rec.Record(journal.Entry{Body: journal.Note{Text: fmt.Sprintf("an observer ended: %v", err)}})
				}
			})
		}
	}
	begin(r.observers())
	known := map[string]bool{}
	replicas := func() {
		for _, rep := range r.env.Replicas() {
			if !known[rep.Name()] {
				known[rep.Name()] = true
				begin(r.replicaObservers(rep))
			}
		}
	}
	replicas()
	stop := every(ctx, newReplicasEvery, func() (enough bool) {
		replicas()
		return false
	})
	return func() {
		stop() // first, so that no observer is begun any more
		cancel()
		all.Wait()
	}
}

// observers are those of the machine and of the dependencies.
func (r *run) observers() []observe.Observer {
	all := []observe.Observer{&observe.Sleeper{}}
	for _, t := range r.env.Targets() {
		if p, ok := t.(faults.Proxied); ok {
			all = append(all, observe.NewRoundTrip(p))
		}
		if db, ok := t.(faults.SQL); ok {
			all = append(all, &observe.Postgres{Dependency: t.Name(), Role: db.ServiceRole(), Connect: db.Admin})
			if r.plan.WatchesLocks(t.Name()) {
				all = append(all, &observe.Locks{
					Dependency: t.Name(), Role: db.ServiceRole(), Connect: db.Admin, Alone: faults.IsShared(t),
				})
			}
		}
	}
	return all
}

func (r *run) replicaObservers(rep environment.Replica) []observe.Observer {
	s := r.plan.Subject.Service
	all := []observe.Observer{&observe.Process{Replica: rep.Name(), PID: rep.PID}}
	for kind, e := range map[string]subject.Endpoint{
		journal.Readiness: s.Readiness, journal.Liveness: s.Liveness, journal.Startup: s.Startup,
	} {
		if e.Path != "" {
			all = append(all, &observe.Poll{Replica: rep.Name(), Endpoint: kind, URL: endpoint(rep, e)})
		}
	}
	if s.Metrics.Path != "" {
		all = append(all, &observe.Scrape{Replica: rep.Name(), URL: endpoint(rep, s.Metrics)})
	}
	return all
}

func endpoint(rep environment.Replica, e subject.Endpoint) func() string {
	return func() string { return rep.Endpoint(e.Port) + e.Path }
}
