package detect

import (
	"fmt"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// rollout is what a made-up rollout differs by from a good one.
type rollout struct {
	rate      float64                         // default 110
	request   func(i int, r *journal.Request) // edits each
	migration string                          // why the migrator failed
	roll      map[string]string               // why a replica did not become ready as a version
	read      func(writer string) (ok bool)   // default: all are good
	reads     int                             // in each direction; default 30
	plan      func(h *journal.Header)         // edits the header
}

// rolledOut is the journal of a rollout of two replicas: load from 0 to 50 s,
// migration at 10 s, half of it at 20 s, all at 30 s, back at 40 s.
func rolledOut(o rollout) journal.Journal {
	if o.rate == 0 {
		o.rate = 110
	}
	if o.reads == 0 {
		o.reads = 30
	}
	m := fixture(func(h *journal.Header) {
		h.Replicas = []string{"orders-1", "orders-2"}
		h.LoadFor, h.Rate, h.Target = 50*time.Second, o.rate, ""
		h.Method = nil
		for i, action := range []string{"migrate", "roll_to", "read_across", "roll_to", "roll_to"} {
			h.Method = append(h.Method, journal.PlannedStep{
				Name: fmt.Sprintf("%s-%d", action, i), Action: action, Class: "operation",
			})
		}
		if o.plan != nil {
			o.plan(h)
		}
	})
	start := func(at journal.Instant, on, version string) {
		m.Record(journal.Entry{At: max(at, 1), On: on, Body: journal.Started{Version: version}})
		if version != "" {
			m.Record(journal.Entry{At: at + 1, On: on, Body: journal.Rolled{Version: version, Err: o.roll[on+" "+version]}})
		}
	}
	start(0, "orders-1", "")
	start(0, "orders-2", "")
	m.Record(journal.Entry{At: 10 * sec, On: "migrate-0", Body: journal.Migrated{Migrator: 1, Began: true}})
	m.Record(journal.Entry{At: 12 * sec, On: "migrate-0", Body: journal.Migrated{Migrator: 1, Err: o.migration}})
	start(22*sec, "orders-1", "next")
	crossReads(m, o)
	start(32*sec, "orders-2", "next")
	start(42*sec, "orders-1", "current")
	start(44*sec, "orders-2", "current")
	for i, at := range []journal.Instant{10 * sec, 20 * sec, 25 * sec, 30 * sec, 40 * sec} {
		if i < len(m.Header().Method) {
			step(m, i, at, at+5*sec)
		}
	}
	load(m, o.request)
	return m
}

func crossReads(m *journal.Memory, o rollout) {
	pair := []string{"orders-1", "orders-2"}
	for i := range 2 * o.reads {
		read := journal.CrossRead{
			Writer: pair[i%2], Reader: pair[(i+1)%2], Route: "list", Attack: "read_across-2", Seq: uint64(i),
			OK: true, Code: 200,
		}
		if o.read != nil && !o.read(read.Writer) {
			read.OK, read.Code = false, 500
		}
		m.Record(journal.Entry{At: 26 * sec, On: read.Attack, Body: read})
	}
}

// broken fails requests of one route from an instant on.
func broken(from journal.Instant, to journal.Instant) func(int, *journal.Request) {
	return func(i int, r *journal.Request) {
		if r.Due >= from && r.Due < to && i%10 == 0 {
			fail(r, 500, 2*ms)
		}
	}
}

var (
	_ = madeUpAs("mixed_versions/held-both", func() journal.Journal { return rolledOut(rollout{}) })
	_ = madeUpAs("mixed_versions/violated-old-on-new-schema", func() journal.Journal {
		return rolledOut(rollout{request: broken(12*sec, 32*sec)})
	})
	_ = madeUpAs("mixed_versions/unknown-few-requests", func() journal.Journal { return rolledOut(rollout{rate: 20}) })
)

func TestMixedVersions(t *testing.T) {
	for name, tt := range map[string]struct {
		rollout
		want  Outcome
		texts []string
	}{
		"good": {rollout{}, Held, []string{"no failure in 5 phases (5500 requests)"}},
		"old version on the new schema": {
			rollout{request: broken(12*sec, 19*sec)},
			Violated,
			[]string{"the present version on the new schema (10s to 20s): 77 of 1100 failed (77 × pay 500)"},
		},
		"side by side": {rollout{request: broken(21*sec, 25*sec)}, Violated, []string{"both versions side by side"}},
		"next alone":   {rollout{request: broken(35*sec, 38*sec)}, Violated, []string{"the next version alone"}},
		"no way back":  {rollout{request: broken(45*sec, 48*sec)}, Violated, []string{"the way back"}},
		"migration fails": {
			rollout{migration: "it exited with 1"},
			Violated,
			[]string{"migrator 1 ended with: it exited with 1"},
		},
		"does not start again": {
			rollout{roll: map[string]string{"orders-2 current": "not ready in time"}},
			Violated,
			[]string{"orders-2 did not become ready as the current version"},
		},
		"old cannot read new": {
			rollout{read: func(writer string) bool { return writer == "orders-2" }},
			Violated,
			[]string{"the present version could not in 30 of 30 reads of what the next one wrote"},
		},
		"ours was dropped": {rollout{request: func(i int, r *journal.Request) {
			if i%100 == 0 {
				drop(r)
			}
		}}, Held, nil},
		"many of ours were dropped": {rollout{request: func(i int, r *journal.Request) {
			if i%20 == 0 {
				drop(r)
			}
		}}, Unknown, []string{"could not be sent"}},
		"never tried the way back": {
			rollout{plan: func(h *journal.Header) { h.Method = h.Method[:4] }},
			Unknown,
			[]string{"no roll led back to the present version"},
		},
		"few reads":    {rollout{reads: 5}, Unknown, []string{"the next version read 5 times", "read_across"}},
		"few requests": {rollout{rate: 50}, Unknown, []string{"there were 500 requests, and 1000 are needed"}},
		"no rollout": {
			rollout{plan: func(h *journal.Header) { h.Method = h.Method[:1] }},
			Unknown,
			[]string{"1 migrations and 0 rolls"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, (&MixedVersions{AtLeast: 1000, MinReads: 20}).Detect(rolledOut(tt.rollout)), tt.want, tt.texts...)
		})
	}
}
