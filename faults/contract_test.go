package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments/environment/agent/agenttest"
	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

func TestMain(m *testing.M) {
	if agenttest.Host() || hostReplica() {
		return
	}
	code := m.Run()
	postgrestest.Stop()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() // Toxiproxy's client uses it
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// bare is a target that can do nothing.
type bare struct{}

func (bare) Name() string { return "bare" }
func (bare) Kind() string { return "tcp" }

// contract is how a kind of fault is tried.
type contract struct {
	fault faults.Fault
	stage func(*testing.T) *stage
	// parallel says that the stage is all the fault's own.
	parallel bool
}

// contracts holds one for every kind.
var contracts = map[string]contract{
	"latency": {
		&faults.Latency{Latency: 100 * time.Millisecond, Jitter: 20 * time.Millisecond, Stream: "downstream"},
		httpStage, true,
	},
	"bandwidth": {
		&faults.Bandwidth{KilobytesPerSecond: 20, Stream: "downstream"},
		httpStage, true,
	},
	"blackhole":         {&faults.Blackhole{}, httpStage, true},
	"lost_reply":        {&faults.LostReply{}, httpStage, true},
	"connect_blackhole": {&faults.ConnectBlackhole{}, httpStage, true},
	"outage":            {&faults.Outage{}, httpStage, true},
	"reset":             {&faults.Reset{}, httpStage, true},
	"slow_close":        {&faults.SlowClose{Delay: 50 * time.Millisecond}, httpStage, true},
	"slicer": {
		&faults.Slicer{SliceBytes: 512, Pause: time.Millisecond, Stream: "both"},
		httpStage, true,
	},
	"limit_data": {&faults.LimitData{Bytes: 1024, Stream: "downstream"}, httpStage, true},

	"status": {
		&faults.Status{Code: 503, RetryAfter: time.Second, Calls: faults.Calls{Ratio: 0.5}},
		httpStage, true,
	},
	"slow_answer": {&faults.SlowAnswer{Delay: 100 * time.Millisecond}, httpStage, true},
	"hang":        {&faults.Hang{}, httpStage, true},
	"stalled_body": {
		&faults.StalledBody{AfterBytes: 4, Every: 50 * time.Millisecond},
		httpStage, true,
	},
	"malformed_body": {&faults.MalformedBody{}, httpStage, true},
	"lost_answer":    {&faults.LostAnswer{}, httpStage, true},

	"table_lock":         {&faults.TableLock{Within: 5 * time.Second}, postgresStage, false},
	"long_reader":        {&faults.LongReader{Within: 5 * time.Second}, postgresStage, false},
	"connection_flood":   {&faults.ConnectionFlood{}, postgresStage, false},
	"terminate_backends": {&faults.TerminateBackends{}, postgresStage, false},
	"refuse_writes": {
		&faults.RefuseWrites{
			Codes: []string{"40001", "40P01"}, At: "statement", Refuse: 2, On: []string{"insert"}, Within: 5 * time.Second,
		},
		postgresStage, false,
	},
	"deadlock": {&faults.Deadlock{Within: 5 * time.Second}, postgresStage, false},

	"sql_error": {
		&faults.SQLError{SQLState: "40001", Statements: faults.Statements{Match: "^select count"}},
		wireStage, false,
	},
	"cut_result": {
		&faults.CutResult{AfterRows: 2, Statements: faults.Statements{Match: "generate_series", Ratio: 0.5}},
		wireStage, false,
	},
	"lost_commit": {&faults.LostCommit{Statements: faults.Statements{Ratio: 0.5}}, wireStage, false},
	"slow_ready": {
		&faults.SlowReady{Delay: 20 * time.Millisecond, Statements: faults.Statements{Match: "^insert"}},
		wireStage, false,
	},

	"pause":     {&faults.Pause{}, replicaStage, true},
	"kill":      {&faults.Kill{}, replicaStage, true},
	"terminate": {&faults.Terminate{}, replicaStage, true},
	"restart":   {&faults.Restart{}, replicaStage, true},

	"cpu_limit":    {&faults.CPULimit{CPUs: 0.1}, containerStage, true},
	"memory_limit": {&faults.MemoryLimit{Share: 1.1}, containerStage, true},

	"packet_loss":        {&faults.PacketLoss{Ratio: 0.05}, containerStage, true},
	"packet_duplication": {&faults.PacketDuplication{Ratio: 0.1}, containerStage, true},
	"packet_corruption":  {&faults.PacketCorruption{Ratio: 0.05}, containerStage, true},
	"packet_delay": {
		&faults.PacketDelay{Delay: 50 * time.Millisecond, Jitter: 10 * time.Millisecond},
		containerStage, true,
	},
}

const (
	steady = 300 * time.Millisecond
	broken = 600 * time.Millisecond
)

// TestContract holds every fault to what is promised of all.
func TestContract(t *testing.T) {
	for _, kind := range faults.Kinds() {
		c, ok := contracts[kind]
		if !ok {
			t.Errorf("fault %q has no contract", kind)
			continue
		}
		t.Run(kind, func(t *testing.T) { c.hold(t, kind) })
	}
}

func (c contract) hold(t *testing.T, kind string) {
	if c.parallel {
		t.Parallel()
	}
	c.refuses(t, kind)
	s := c.stage(t)
	if err := c.fault.Supports(s.target); err != nil {
		t.Fatalf("supports: %v", err)
	}
	s.run(t)
	pause(steady)
	calm := journal.Window{From: 1, To: s.rec.Now()}
	goroutines := s.goroutines(t)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	injection, err := c.fault.Inject(ctx, s.target)
	if err != nil {
		t.Fatalf("inject: %v", err)
	}
	w := journal.Window{From: s.rec.Now()}
	pause(broken)
	w.To = s.rec.Now()
	for i := range 2 {
		if err := injection.Revert(ctx); err != nil {
			t.Fatalf("revert %d: %v", i+1, err)
		}
	}
	if r, ok := injection.(faults.Reporter); ok {
		r.Report(s.rec)
	}
	s.restored(t)
	pause(steady)
	s.stop(t)

	if err := c.fault.Witness(s.rec, s.target.Name(), w); err != nil {
		t.Errorf("witness: %v", err)
	}
	err = c.fault.Witness(s.rec, s.target.Name(), calm)
	if !errors.Is(err, faults.ErrNotInForce) && !errors.Is(err, faults.ErrNotExercised) {
		t.Errorf("the witness of the calm before says %v", err)
	}
	if now := s.goroutines(t); now > goroutines {
		t.Errorf("the agent had %d goroutines before and has %d afterwards", goroutines, now)
	}
	for _, r := range journal.Of[journal.AgentReplaced](s.rec) {
		t.Errorf("the agent was replaced: %s", r.Reason)
	}
}

func (c contract) refuses(t *testing.T, kind string) {
	t.Helper()
	f, err := faults.New(kind)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []faults.Fault{f, c.fault} {
		if f.String() == "" {
			t.Error("it has no words for itself")
		}
		if err := f.Supports(bare{}); err == nil {
			t.Error("it supports a target that can do nothing")
		}
		if _, err := f.Inject(t.Context(), bare{}); err == nil {
			t.Error("it was injected into a target that can do nothing")
		}
	}
}

func pause(d time.Duration) { <-time.After(d) }
