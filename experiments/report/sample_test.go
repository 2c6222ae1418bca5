package report

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

const second = journal.Instant(time.Second)

func bound(v float64) *float64 { return &v }

// sampleTrial is a trial with one verdict of every sort.
func sampleTrial() *folder.Trial {
	started := time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)
	return &folder.Trial{
		Format: folder.Format, ID: "20260314-150926", Started: started, Ended: started.Add(83 * time.Second),
		Outcome: experiments.Failed, Seed: 42, Service: "orders", SubjectFile: "testdata/orders/seatrial.yaml",
		Environment: "process", CPUs: 2, Versions: map[string]string{"seatrial": "v0.1.0", "go": "go1.26.0"},
		Promises: journal.DefaultPromises(), Defaults: []string{"success_ratio", "drains_within", "body_limit_bytes"},
		Experiments: []folder.Experiment{
			samplePassed(), sampleFailed(), sampleInconclusive(), sampleNotTried(), sampleError(),
		},
		Dir: "runs/20260314-150926",
	}
}

func samplePassed() folder.Experiment {
	found := []detect.Finding{{
		Detector: "success", Checklist: []string{"3.6"}, Outcome: detect.Held,
		Reason: "99.8% of 1200 answers were good while payments was slow; promised were 99.5%",
		Remark: "two refusals carried no Retry-After",
		Quantities: []journal.Quantity{{
			Name: "ratio", Value: 0.998, Unit: "1", Bound: bound(0.995), Op: ">=", Samples: 1200,
		}},
	}}
	return folder.Experiment{
		Name: "http-slow/payments", Title: "Answers come in time while payments is slow", Target: "payments",
		Took: 21400 * time.Millisecond, Runs: []string{folder.RunPath("http-slow/payments", 1)},
		Verdict: experiments.Verdict{
			Experiment: "http-slow/payments", Outcome: experiments.Passed, Reason: "all 1 expectations held",
			Findings: found,
			Attempts: []experiments.Attempt{{Number: 1, Outcome: experiments.Passed, Reason: "held", Findings: found}},
		},
	}
}

func sampleFailed() folder.Experiment {
	reason := "GET /orders/{id} took 8.02s while payments hung; promised is an answer within 5s"
	found := []detect.Finding{{
		Detector: "deadline", Checklist: []string{"3.2"}, Outcome: detect.Violated, Reason: reason,
		Quantities: []journal.Quantity{
			{Name: "answer_max", Value: 8.021, Unit: "s", Bound: bound(5.5), Op: "<=", Samples: 240},
			{Name: "calls_open", Value: 3, Unit: "1", Bound: bound(0), Op: "==", Samples: 240},
		},
		Evidence: []detect.Evidence{
			{At: 9400 * second / 1000, Kind: "request", On: "r1-load-312", Excerpt: "GET /orders/17 → 200 after 8.021s"},
			{At: 11 * second, Kind: "call", On: "payments", Excerpt: "POST /charges open for 8s \x1b[31mred\x1b[0m"},
		},
	}, {
		Detector: "jitter", Checklist: []string{"3.3"}, Outcome: detect.Unknown,
		Reason: "no call to payments was repeated, so that there is no gap to measure",
	}, {
		Detector: "success", Checklist: []string{"3.6"}, Outcome: detect.Held, Reason: "99.7% good; promised 99.5%",
	}}
	guards := []detect.Finding{{
		Detector: "load", Outcome: detect.Held, Reason: "99.9% of the planned hits were sent",
		Quantities: []journal.Quantity{{Name: "achieved_ratio", Value: 0.999, Unit: "1", Bound: bound(0.98), Op: ">="}},
	}}
	return folder.Experiment{
		Name: "http-hangs/payments", Title: "A dependency that never answers", Target: "payments",
		Description: "Most outages begin with a dependency that is slow, not down.",
		Took:        48 * time.Second,
		Runs:        []string{folder.RunPath("http-hangs/payments", 1), folder.RunPath("http-hangs/payments", 2)},
		Verdict: experiments.Verdict{
			Experiment: "http-hangs/payments", Outcome: experiments.Failed, Reason: reason, Findings: found,
			Attempts: []experiments.Attempt{
				{Number: 1, Outcome: experiments.Failed, Reason: reason, Findings: found, Guards: guards},
				{Number: 2, Outcome: experiments.Failed, Reason: reason, Findings: found, Guards: guards},
			},
		},
	}
}

func sampleInconclusive() folder.Experiment {
	guard := []detect.Finding{{
		Detector: "noise", Outcome: detect.Violated,
		Reason:     "the machine was too busy: sleeps of 20ms overshot by 180ms at p99",
		Quantities: []journal.Quantity{{Name: "overshoot_p99", Value: .18, Unit: "s", Bound: bound(.05), Op: "<="}},
	}}
	found := []detect.Finding{{
		Detector: "shedding", Checklist: []string{"3.5"}, Outcome: detect.Held, Reason: "0.9 of capacity",
	}}
	return folder.Experiment{
		Name: "overload", Title: "Five times the capacity", Took: 13 * time.Second,
		Expect: []string{"shedding"}, Runs: []string{folder.RunPath("overload", 1)},
		Verdict: experiments.Verdict{
			Experiment: "overload", Outcome: experiments.Inconclusive, Reason: guard[0].Reason,
			Attempts: []experiments.Attempt{{
				Number: 1, Outcome: experiments.Inconclusive, Reason: guard[0].Reason, Findings: found, Guards: guard,
			}},
		},
	}
}

func sampleNotTried() folder.Experiment {
	return folder.Experiment{Name: "redis-down", Title: "Redis is gone", Verdict: experiments.Verdict{
		Experiment: "redis-down", Outcome: experiments.NotTried, Reason: "orders has no redis dependency",
	}}
}

func sampleError() folder.Experiment {
	return folder.Experiment{
		Name: "crash", Title: "A replica dies", Took: 600 * time.Millisecond,
		Runs: []string{folder.RunPath("crash", 1)},
		Verdict: experiments.Verdict{
			Experiment: "crash", Outcome: experiments.Error,
			Reason: "start environment: orders-1 exited with 1 before it was ready: <b>listen</b> tcp: address in use",
		},
	}
}

// openSample opens the journals of the sample trial.
func openSample(dir string) (journal.Journal, error) {
	switch {
	case filepath.Base(filepath.Dir(dir)) == "crash":
		return nil, errors.New("open journal: there is none")
	case filepath.Base(filepath.Dir(dir)) == "overload":
		return journal.NewMemory(journal.Header{}), nil
	}
	return sampleJournal(), nil
}

// sampleJournal is a run of 20 s in which payments hangs from 6 s to 12 s, a
// replica is stopped at 14 s and every kind of chart has something to show.
func sampleJournal() journal.Journal {
	m := journal.NewMemory(journal.Header{
		Replicas: []string{"orders-1", "orders-2"},
		Method: []journal.PlannedStep{
			{Name: "hang", Action: "hang", Class: "fault", Detail: "hang every call", Target: "payments", At: 6 * second},
			{Name: "stop", Action: "signal", Class: "operation", Detail: "SIGTERM", Target: "orders-2", At: 14 * second},
		},
	})
	rng := rand.New(rand.NewPCG(1, 2))
	for _, e := range []struct {
		at    journal.Instant
		step  int
		phase string
	}{
		{6 * second, 0, journal.PhaseBegin},
		{6100 * second / 1000, 0, journal.PhaseInForce},
		{12 * second, 0, journal.PhaseRevert},
		{12050 * second / 1000, 0, journal.PhaseReverted},
		{14 * second, 1, journal.PhaseBegin},
		{14 * second, 1, journal.PhaseInForce},
		{16 * second, 1, journal.PhaseRevert},
	} {
		m.Record(journal.Entry{At: e.at, Body: journal.StepEvent{Step: e.step, Phase: e.phase}})
	}
	sampleRequests(m, rng)
	sampleReplicas(m, rng)
	return m
}

func sampleRequests(m *journal.Memory, rng *rand.Rand) {
	for i := range uint64(20 * 60) {
		due := journal.Instant(i) * second / 60
		took := time.Duration((8 + rng.ExpFloat64()*6) * 1e6)
		r := journal.Request{Seq: i, Attack: "load", Route: "get-order", Due: due, Sent: due, Code: 200, OK: true}
		hung := due > 6*second && due < 12*second
		if hung && i%2 == 0 {
			took = time.Duration((0.6 + rng.Float64()) * 1e9)
			if i%6 == 0 {
				r.Code, r.OK = 503, false
			}
		}
		r.Done = due.Add(took)
		m.Request(r)
		if i%2 == 0 {
			id := fmt.Sprint("r", i)
			call := journal.Call{Path: "/charges", RequestID: id}
			m.Record(journal.Entry{At: due.Add(time.Millisecond), On: "payments", Body: call})
			if hung {
				at := due.Add(300 * time.Millisecond)
				m.Record(journal.Entry{At: at, On: "payments", Body: call})
			}
		}
	}
}

func sampleReplicas(m *journal.Memory, rng *rand.Rand) {
	for i := range 400 {
		at := journal.Instant(i)*second/20 + 1
		hung := at > 6*second && at < 12*second
		a := journal.Activity{}
		for k := range 8 {
			b := journal.Backend{State: "idle"}
			if hung && k < 6 {
				b.State = "idle in transaction"
			} else if rng.IntN(4) == 0 {
				b.State = "active"
			}
			a.Backends = append(a.Backends, b)
		}
		m.Record(journal.Entry{At: at, On: "postgres", Body: a})
		for n, replica := range []string{"orders-1", "orders-2"} {
			poll := journal.Poll{Endpoint: journal.Readiness, Code: 200}
			if n == 1 && at > 14*second && at < 15*second {
				poll.Code = 503
			} else if n == 1 && at >= 15*second && at < 17*second {
				poll = journal.Poll{Endpoint: journal.Readiness, Err: journal.ErrRefused}
			}
			m.Record(journal.Entry{At: at, On: replica, Body: poll})
			cpu := time.Duration(i) * 12 * time.Millisecond
			rss := int64(30+i/20+rng.IntN(2)) << 20
			m.Record(journal.Entry{At: at, On: replica, Body: journal.ProcessSample{CPU: cpu, RSSBytes: rss}})
			if i%10 == 0 {
				value := float64(3 + rng.IntN(2))
				changed := []journal.Sample{
					{Name: "go_sql_in_use_connections", Type: "gauge", Value: value},
					{Name: "go_sql_max_open_connections", Type: "gauge", Value: 10},
				}
				scrape := journal.Scrape{Series: 2, Fresh: i == 0, Changed: changed}
				m.Record(journal.Entry{At: at, On: replica, Body: scrape})
			}
		}
	}
	for _, e := range []journal.Entry{
		{At: 1, On: "orders-1", Body: journal.Endpoint{In: true, Reason: "ready"}},
		{At: 1, On: "orders-2", Body: journal.Endpoint{In: true, Reason: "ready"}},
		{At: 14 * second, On: "orders-2", Body: journal.Signalled{Signal: "SIGTERM"}},
		{At: 14500 * second / 1000, On: "orders-2", Body: journal.Endpoint{Reason: "2 readiness failures"}},
		{At: 15 * second, On: "orders-2", Body: journal.Exited{Code: 0, Asked: "SIGTERM"}},
		{At: 16800 * second / 1000, On: "orders-2", Body: journal.Started{PID: 4711, Start: 2}},
		{At: 17 * second, On: "orders-2", Body: journal.Endpoint{In: true, Reason: "ready"}},
		{At: 9 * second, On: "orders-1", Body: journal.LogLine{
			Stream: "stderr", Text: "<script>alert(1)</script> \x1b]0;title\a",
		}},
	} {
		m.Record(e)
	}
}
