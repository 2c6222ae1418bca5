package detect

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

// policy is what a service does when its write is refused: how many attempts it
// makes at most, so far apart, and what it repeats.
type policy struct {
	attempts int
	gap      float64
	refused  func(journal.Attempt) bool // whether it is repeated
	code     int                        // the answer when it is given up
}

var goodPolicy = policy{4, 0.02, func(a journal.Attempt) bool { return serialization(a.Code) }, 503}

// refusedMade has 20 writes refused twice at statements, 20 at COMMIT, 10 for
// ever and 10 as duplicates.
func refusedMade(p policy) *made {
	m := newMade()
	phase := func(name string, from float64, writes, refuse int, commit bool, code string) {
		m.step(name, "refuse_writes", "fault", "db", from, from+6)
		n := 0
		for i := range writes {
			t := from + 0.2 + 0.25*float64(i)
			tries, ok := 0, false
			for tries < p.attempts && !ok {
				n++
				a := journal.Attempt{N: n, PID: 7, Code: code, Refuse: refuse, Commit: commit}
				if ok = refuse > 0 && n%(refuse+1) == 0; ok {
					a.Code = ""
				}
				m.at(t+0.005+float64(tries)*p.gap*(1+0.5*float64(i%5)), "db", a)
				if tries++; !ok && !p.refused(a) {
					break
				}
			}
			status := p.code
			if ok {
				status = 201
			}
			m.hit("writers", "create", t, 0.2, status)
		}
	}
	phase("at-statements", 1, 20, 2, false, "40001")
	phase("at-commits", 8, 20, 2, true, "40P01")
	phase("for-ever", 15, 10, 0, false, "40001")
	phase("duplicates", 22, 10, 0, false, "23505")
	return m
}

func TestSerializationRetries(t *testing.T) {
	edited := func(edit func(*policy)) policy {
		p := goodPolicy
		edit(&p)
		return p
	}
	none := func(*made) {}
	for name, tt := range map[string]struct {
		policy  policy
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		"good": {goodPolicy, none, Held, "with 3 attempts at most"},
		"never": {edited(func(p *policy) {
			p.attempts = 1
		}), none, Violated, "were not repeated to their end (the first: 40001;"},
		"twice": {edited(func(p *policy) { p.attempts = 2 }), none, Violated, "40001, 40001;"},
		"not at COMMIT": {edited(func(p *policy) {
			p.refused = func(a journal.Attempt) bool { return serialization(a.Code) && !a.Commit }
		}), none, Violated, "refused at COMMIT in at-commits"},
		"everything": {edited(func(p *policy) {
			p.refused = func(journal.Attempt) bool { return true }
		}), none, Violated, "a request that was refused with 23505 in duplicates was tried 4 times"},
		"for ever": {edited(func(p *policy) { p.attempts, p.gap = 9, 0.008 }), none, Violated, "promised at most 5 attempts"},
		"500":      {edited(func(p *policy) { p.code = 500 }), none, Violated, "promised 409 or 503"},
		"at once":  {edited(func(p *policy) { p.gap = 0.0001 }), none, Held, "follow each other at once"},
		"late": {goodPolicy, func(m *made) {
			m.hit("writers", "create", 20, 7, 503)
			m.at(20.1, "db", journal.Attempt{N: 99, Code: "40001"})
		}, Violated, "took 7s"},
		"ended under way": {goodPolicy, func(m *made) {
			m.at(6.95, "db", journal.Attempt{N: 61, PID: 7, Code: "40001", Refuse: 2})
			m.hit("writers", "create", 6.94, 0.2, 201)
		}, Held, "still under way when it ended"},
		"for ever, ended under way": {goodPolicy, func(m *made) {
			m.at(20.95, "db", journal.Attempt{N: 41, PID: 7, Code: "40001"})
			m.hit("writers", "create", 20.94, 0.2, 201)
		}, Held, ""},
		"an attempt of another before": {goodPolicy, func(m *made) {
			m.at(8.203, "db", journal.Attempt{N: 0, PID: 8, Refuse: 2, Commit: true})
		}, Held, "with 3 attempts at most"},
		"no repetition asked for": {goodPolicy, func(m *made) {
			for i := range m.header.Method[:2] {
				m.header.Method[i].Action = "other"
			}
		}, Unknown, "nothing was there to be repeated"},
		"nothing given up": {goodPolicy, func(m *made) {
			for i := range m.header.Method {
				if m.header.Method[i].Name == "for-ever" {
					m.header.Method[i].Action = "other"
				}
			}
		}, Held, "with 3 attempts at most"},
		"nothing counted": {goodPolicy, without[journal.Attempt], Unknown, "only 0 requests of at-statements"},
		"no step": {goodPolicy, func(m *made) {
			m.header.Method = nil
			m.entries = nil
		}, Unknown, "no refuse_writes step"},
		"overlapping": {goodPolicy, func(m *made) {
			m.change(func(r *journal.Request) { r.Done = r.Sent + secs(1) })
		}, Unknown, "overlapped"},
	} {
		t.Run(name, func(t *testing.T) {
			m := refusedMade(tt.policy)
			tt.edit(m)
			wants(t, judged(t, "serialization_retries", m), tt.outcome, tt.reason)
		})
	}
}

func refuses(p policy) func() *made { return func() *made { return refusedMade(p) } }

var (
	_ = madeUpAs("serialization_retries/held-whole-transaction", makes(refuses(goodPolicy)))
	_ = madeUpAs("serialization_retries/violated-given-up", makes(refuses(policy{1, 0.02, goodPolicy.refused, 503})))
	_ = madeUpAs("serialization_retries/unknown-nothing-counted", makes(refuses(goodPolicy), without[journal.Attempt]))
)

// What is kept of the writes is enough to say which attempt is whose, and which
// write overlaps with another, as if all of them had been kept.
func TestWritesNear(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := newMade()
		m.step("refused", "refuse_writes", "fault", "db", 1, 9)
		for range 40 {
			m.hit("writers", "create", 10*r.Float64(), 0.3*r.Float64(), 201)
		}
		for range r.IntN(30) {
			m.at(10*r.Float64(), "db", journal.Attempt{Code: "40001"})
		}
		j := m.memory()
		step := j.Steps()[0]
		w, _ := carriedOut(step)
		got, overlapping := triedIn(j, faultStep{step, w})
		want, wantOverlapping := triedOfAll(j, faultStep{step, w})
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(tried{}, countedAttempt{})); diff != "" ||
			overlapping != wantOverlapping {
			t.Fatalf("seed %d: %d overlap, want %d: %s", seed, overlapping, wantOverlapping, diff)
		}
	}
}

// triedOfAll says the same as triedIn from all writes.
func triedOfAll(j journal.Journal, step faultStep) (all []tried, overlapping int) {
	var sent []tried
	for r := range j.Requests(step.window) {
		if r.Sent < step.window.To {
			sent = append(sent, tried{Request: r})
		}
	}
	slices.SortFunc(sent, func(a, b tried) int { return int(a.Sent - b.Sent) })
	for e, a := range journal.Of[journal.Attempt](j) {
		owner := -1
		for i := range sent {
			if sent[i].Sent <= e.At.Add(clockSlack) {
				owner = i
			}
		}
		if owner >= 0 && step.window.Contains(e.At) {
			sent[owner].attempts = append(sent[owner].attempts, countedAttempt{a, e.At})
		}
	}
	for i, s := range sent {
		beside := i > 0 && sent[i-1].Done > s.Sent || i+1 < len(sent) && sent[i+1].Sent < s.Done
		if len(s.attempts) > 0 && beside {
			overlapping++
		} else if len(s.attempts) > 0 {
			all = append(all, s)
		}
	}
	return all, overlapping
}
