package detect

import (
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ConnectionLifetime asks whether connections to the database are replaced when
// they have reached the promised age (D48), so that a failover, a new address or
// a rotated password is noticed. No backend of the service may be older than
// connection_lifetime, a second and a half and the statement that it is working
// on: database/sql looks for old ones at most once a second (measured 2.01 s for
// 2 s on a quiet machine, 10.8 s and 11.0 s for 10 s on a busy one), and the rest
// is for timers that are late.
//
// It is watched from the load's beginning to the first step that ends
// connections, and holds only when some connection was seen from so early on
// that it had to be replaced. Without the promise, connections that the pool's
// own metrics say it closed for their age are a remark, and the finding is
// unknown. Many new connections for each request, more than ChurnRatio, are a
// remark, too: the pool keeps fewer than are in use (database/sql keeps two).
type ConnectionLifetime struct {
	// Lifetime bounds a connection's age. Zero: the promise
	// connection_lifetime.
	Lifetime time.Duration `json:"lifetime,omitempty" yaml:"lifetime"`
	// ChurnRatio is new connections for each request. Default 0.1.
	ChurnRatio float64 `json:"churn_ratio,omitempty" yaml:"churn_ratio"`
}

var _ = register(Info{
	Kind: "connection_lifetime", ID: "D48", Checklist: []string{"4.2"}, Class: Timing,
	Summary: "connections to the database are replaced at the promised age",
}, func() Detector { return &ConnectionLifetime{ChurnRatio: 0.1} })

// lifetimeSlack is how much older a connection may become until a pool looks
// for old ones: one second in database/sql, and half a second for a busy
// machine's timers (detectors.md, F14).
const lifetimeSlack = 1500 * time.Millisecond

// Detect watches the ages.
func (c *ConnectionLifetime) Detect(j journal.Journal) Finding {
	d := open("connection_lifetime")
	w := journal.Window{From: loadStart(j), To: loadEnd(j)}
	for _, s := range j.Steps() {
		if s.Class == "fault" && s.Has[journal.PhaseBegin] && endsConnections(s.Action) && (w.To == 0 || s.Begun < w.To) {
			w.To = s.Begun
		}
	}
	for e := range j.Entries(journal.Signalled{}.Kind(), journal.Exited{}.Kind()) {
		if e.At > w.From && (w.To == 0 || e.At < w.To) && slices.Contains(j.Header().Replicas, e.On) {
			w.To = e.At // its connections end with it
		}
	}
	lifetime := orDefault(c.Lifetime, j.Header().Promises.ConnectionLifetime)
	seen := agesIn(j, w)
	if seen.samples == 0 {
		return d.unknown("pg_stat_activity was not sampled between %v and %v, so no connection's age is known", w.From, w.To)
	}
	if len(seen.births) == 0 {
		return d.unknown("no connection of the service was seen between %v and %v; is it connected under another role?",
			w.From, w.To)
	}
	c.churn(d, j, w, seen)
	if lifetime == 0 {
		d.add(measured("connection_age_max", seen.oldest.Seconds(), "s", seen.samples))
		if name := closedForAge(j); name != "" {
			d.note("the pool does close old connections: %s grew", name)
		}
		d.doubt("the owner has not said at which age connections are replaced: promise connection_lifetime; the oldest was "+
			"%v old", brief(seen.oldest))
		return d.close("")
	}
	bound := lifetime + lifetimeSlack + seen.query
	d.add(boundedTime("connection_age_max", seen.oldest, bound, seen.samples))
	switch {
	case seen.oldest > bound:
		d.point(seen.worst)
		d.against("promised to replace connections at an age of %v; one was %v old: set the pool's connection lifetime",
			lifetime, brief(seen.oldest))
	case seen.watched <= bound:
		d.doubt("no connection was watched for longer than %v (at most %v), so none had to be replaced", bound,
			brief(seen.watched))
	}
	return d.close("no connection became older than %v (promised %v), and those watched for longer were "+
		"replaced; %d were opened", brief(seen.oldest), lifetime, len(seen.births))
}

// endsConnections reports whether a fault's kind ends connections or keeps them
// from being opened.
func endsConnections(action string) bool {
	switch action {
	case "terminate_backends", "restart", "kill", "terminate", "pause", "outage", "reset", "blackhole",
		"connect_blackhole", "lost_reply", "limit_data", "connection_flood", "cut_result", "lost_commit":
		return true
	}
	return false
}

// ages are what samples say of the service's connections.
type ages struct {
	samples         int
	births          map[int]journal.Instant // by pid
	oldest, query   time.Duration           // query: the statement of the oldest
	watched         time.Duration           // from the first birth to the end
	worst           Evidence
	firstBirth, end journal.Instant
}

func agesIn(j journal.Journal, w journal.Window) ages {
	found := ages{births: map[int]journal.Instant{}}
	for e, a := range activities(j, "", w) {
		if a.Err != "" {
			continue
		}
		found.samples++
		found.end = e.At
		for _, b := range a.Backends {
			if ofSeatrial(b.App) {
				continue
			}
			born := e.At.Add(-b.Age)
			if _, ok := found.births[b.PID]; !ok {
				found.births[b.PID] = born
				if len(found.births) == 1 || born < found.firstBirth {
					found.firstBirth = born
				}
			}
			if b.Age > found.oldest {
				found.oldest, found.query = b.Age, b.QueryAge
				found.worst = seen(e, "backend %d (%s) is %v old", b.PID, b.App, brief(b.Age))
			}
		}
	}
	found.watched = found.end.Sub(found.firstBirth)
	return found
}

// churn remarks on connections that are opened again and again.
func (c *ConnectionLifetime) churn(d *docket, j journal.Journal, w journal.Window, seen ages) {
	fresh, requests := 0, 0
	for _, born := range seen.births {
		fresh += one(born > w.From)
	}
	for r := range hits(j, span{windows: []journal.Window{w}}, anyAttack, nil) {
		requests += one(!r.Dropped)
	}
	d.add(measured("connections_per_request", ratio(fresh, requests), "1", requests))
	if limit := orDefault(c.ChurnRatio, 0.1); requests > 0 && ratio(fresh, requests) > limit {
		d.note("%d connections were opened for %d requests: keep as many idle ones as may be open", fresh, requests)
	}
}

// closedForAge is a counter of connections closed for their age that grew;
// empty when none did.
func closedForAge(j journal.Journal) string {
	for _, replica := range j.Header().Replicas {
		for _, line := range linesOf(j, replica, func(s journal.Sample) bool {
			return words(s.Name, "lifetime") && words(s.Name, "closed", "destroy")
		}) {
			for _, v := range line.values {
				if v > 0 {
					return line.name
				}
			}
		}
	}
	return ""
}
