package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// clientsMade has 10 calls a second from clients who try again up to three
// times, from 2 s on. A trigger is in force from 10 s to 20 s; the service is
// down from then until down seconds after it, and is watched for so many
// seconds.
func clientsMade(down, watched float64) func() *made {
	return func() *made {
		m := newMade()
		m.header.Rate = 0
		m.step("clients", "attack", "operation", "", 2, 20+watched)
		m.step("trigger", "latency", "fault", "db", 10, 20)
		attack := journal.Attack{From: secs(2), Retries: 3, Timeout: time.Second}
		began := attack
		began.Began = true
		m.at(2, "clients", began)
		n := int((18 + watched) * 10)
		attack.For, attack.Planned, attack.Sent = secs(18+watched).Duration(), uint64(n), uint64(n)
		m.at(20+watched, "clients", attack)
		for i := range n {
			due := 2 + float64(i)/10
			took, code, tries := 0.2, 201, 1
			if due >= 10 && due < 20+down {
				took, code, tries = 4.4, 0, 4
			}
			r := m.hit("clients", "create", due, took, code)
			r.Seq, r.Tries = uint64(i), tries
		}
		return m
	}
}

// until leaves out what had not been recorded at an instant.
func (m *made) until(t float64) *made {
	kept := *m
	kept.entries, kept.requests = nil, nil
	for _, e := range m.entries {
		if e.At <= secs(t) {
			kept.entries = append(kept.entries, e)
		}
	}
	for _, r := range m.requests {
		if r.Done <= secs(t) {
			kept.requests = append(kept.requests, r)
		}
	}
	return &kept
}

func TestMetastability(t *testing.T) {
	nothing := func(*made) {}
	hits := func(edit func(*journal.Request)) func(*made) { return func(m *made) { m.change(edit) } }
	some := func(every uint64, from, to float64) func(*made) {
		return hits(func(r *journal.Request) {
			if r.Seq%every == 0 && r.Due >= secs(from) && r.Due < secs(to) {
				r.OK, r.Code = false, 503
			}
		})
	}
	for name, tt := range map[string]struct {
		down, watched float64
		edit          func(*made)
		outcome       Outcome
		reason        string
	}{
		"comes back at once":      {0, 62, nothing, Held, "came back within 0s"},
		"and that is soon sure":   {0, 11, nothing, Held, "watched for 10s"},
		"comes back after 2 s":    {2, 62, nothing, Held, "came back within 5s"},
		"comes back after 20 s":   {20, 62, nothing, Held, "it came back only 20s after"},
		"comes back after 48 s":   {48, 62, nothing, Held, "it came back only 50s after"},
		"comes back too late":     {51, 62, nothing, Violated, "stays down"},
		"stays down":              {99, 62, nothing, Violated, "watched for 1m0s"},
		"is down again":           {0, 62, some(2, 75, 90), Violated, "stays down"},
		"one in twelve fails":     {0, 62, some(12, 20, 90), Violated, "stays down"},
		"one in fifty fails":      {0, 62, some(50, 20, 90), Held, ""},
		"not watched long enough": {99, 58, nothing, Unknown, "watched for 55s after"},
		"just came back":          {10, 16, nothing, Unknown, "too early to say"},
		"still tries again": {0, 12, hits(func(r *journal.Request) {
			if r.Due >= secs(20) {
				r.Tries = 2
			}
		}), Unknown, "too early to say"},
		"was down before": {0, 62, some(2, 2, 10), Unknown, "before the trigger \"trigger\" only"},
		"was not hurt": {0, 62, hits(func(r *journal.Request) {
			r.OK, r.Code = true, 200
		}), Unknown, "nothing to come back from"},
		"no retries": {0, 62, func(m *made) {
			for i, e := range m.entries {
				if a, ok := e.Body.(journal.Attack); ok {
					a.Retries = 0
					m.entries[i].Body = a
				}
			}
		}, Unknown, "no attack had clients that try again"},
		"no trigger": {0, 62, func(m *made) { m.header.Method[1].Class = "probe" }, Unknown, "no fault came into force"},
		"few calls": {0, 62, func(m *made) {
			few := m.requests[:0]
			for i, r := range m.requests {
				if i%5 == 0 {
					r.Seq = uint64(i / 5)
					few = append(few, r)
				}
			}
			m.requests = few
		}, Unknown, "too few"},
		"nobody called in the trigger": {0, 62, func(m *made) {
			kept := m.requests[:0]
			for _, r := range m.requests {
				if r.Due < secs(10) || r.Due >= secs(20) {
					r.Seq = uint64(len(kept))
					kept = append(kept, r)
				}
			}
			m.requests = kept
		}, Unknown, "only 0 calls of \"clients\" were due while"},
		"not sent": {0, 62, hits(func(r *journal.Request) { r.Dropped = r.Seq%10 == 0 }), Unknown, "could not be sent"},
	} {
		t.Run(name, func(t *testing.T) {
			m := clientsMade(tt.down, tt.watched)()
			tt.edit(m)
			f := judged(t, "metastability", m)
			wants(t, f, tt.outcome, tt.reason)
			if (f.Failure == Metastable) != (f.Outcome == Violated) {
				t.Errorf("the failure is called %q", f.Failure)
			}
		})
	}
}

// While the run goes on, a call that is still being tried again is no good one.
func TestMetastabilityOnTheJournalSoFar(t *testing.T) {
	for name, tt := range map[string]struct {
		down float64
		at   float64
		want Outcome
	}{
		"trigger in force":      {0, 15, Unknown},
		"one window":            {0, 26, Unknown},
		"two windows":           {0, 31, Held},
		"down, one good window": {2, 31, Unknown},
		"down, then two":        {2, 36, Held},
		"down, not all ended":   {99, 31, Unknown},
		"down for 60 s":         {99, 85, Violated},
		"down for 55 s":         {99, 79, Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			f := new(Metastability).Enough(clientsMade(tt.down, 70)().until(tt.at).memory(), "clients")
			wants(t, f, tt.want, "")
		})
	}
}

func TestMetastabilityQuantities(t *testing.T) {
	f := judged(t, "metastability", clientsMade(99, 62)())
	for name, want := range map[string]float64{
		"good_before": 1, "good_during": 0, "amplification_during": 4, "watched": 60,
		"good_last": 0, "amplification_last": 4, "down_after_trigger": 60,
	} {
		if got := quantityOf(t, f, name).Value; got != want {
			t.Errorf("%s is %v, wanted %v", name, got, want)
		}
	}
}
