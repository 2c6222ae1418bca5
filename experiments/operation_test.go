package experiments

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
	"github.com/seatrial/seatrial/loadgen"
)

// fakeEnvironment remembers what was done to it, in order.
type fakeEnvironment struct {
	environment.Environment
	replicas []environment.Replica
	mu       sync.Mutex
	done     []string
	err      error // of Scale
}

func (f *fakeEnvironment) Replicas() []environment.Replica { return f.replicas }

func (f *fakeEnvironment) Scale(_ context.Context, n int) error {
	f.done = append(f.done, "scale "+strings.Repeat("|", n))
	return f.err
}

// fakeReplica does what it is told, unless an error says otherwise.
type fakeReplica struct {
	environment.Replica
	name, url string
	version   string
	env       *fakeEnvironment
	errs      map[string]error // by what is done
	pid       int
}

func (f *fakeReplica) Name() string { return f.name }

func (f *fakeReplica) Endpoint(string) string { return f.url }

func (f *fakeReplica) PID() int { return f.pid }

func (f *fakeReplica) did(what string) error {
	f.env.mu.Lock()
	defer f.env.mu.Unlock()
	f.env.done = append(f.env.done, f.name+" "+what)
	return f.errs[what]
}

func (f *fakeReplica) Version() string          { return f.version }
func (f *fakeReplica) Use(version string) error { return f.did("use " + version) }

func (f *fakeReplica) Deregister(context.Context) error { return f.did("deregister") }
func (f *fakeReplica) Register(context.Context) error   { return f.did("register") }
func (f *fakeReplica) Start(context.Context) error      { return f.did("start") }
func (f *fakeReplica) Terminate(context.Context, time.Duration) error {
	return f.did("terminate")
}

func (f *fakeReplica) Signal(_ context.Context, s os.Signal) error { return f.did(s.String()) }
func (f *fakeReplica) WaitExit(context.Context) error              { return f.errs["wait"] }

// fakeLoader remembers what was asked for.
type fakeLoader struct {
	attacks   []AttackSpec
	loops     []ClosedLoopSpec
	resubmits []ResubmitSpec
	plants    []PlantSQLSpec
	across    []ReadAcrossSpec
	registers []RegistersSpec
	perSecond float64
	targets   map[string]loadgen.Target // by the request's name
	err       error
}

func (f *fakeLoader) Attack(_ context.Context, s AttackSpec) error {
	f.attacks = append(f.attacks, s)
	return f.err
}

func (f *fakeLoader) ClosedLoop(_ context.Context, s ClosedLoopSpec) (float64, error) {
	f.loops = append(f.loops, s)
	return f.perSecond, f.err
}

func (f *fakeLoader) Resubmit(_ context.Context, s ResubmitSpec) error {
	f.resubmits = append(f.resubmits, s)
	return f.err
}

func (f *fakeLoader) PlantSQL(_ context.Context, s PlantSQLSpec) error {
	f.plants = append(f.plants, s)
	return f.err
}

func (f *fakeLoader) ReadAcross(_ context.Context, s ReadAcrossSpec) error {
	f.across = append(f.across, s)
	return f.err
}

func (f *fakeLoader) Registers(_ context.Context, s RegistersSpec) error {
	f.registers = append(f.registers, s)
	return f.err
}

func (f *fakeLoader) Target(route, _ string, _ uint64) (loadgen.Target, error) {
	return f.targets[route], f.err
}

// fakes are an execution of a step "it" with two replicas and nothing real.
func fakes() (*Execution, *fakeEnvironment, *fakeLoader, *journal.Memory) {
	env := &fakeEnvironment{}
	for _, name := range []string{"orders-1", "orders-2"} {
		env.replicas = append(env.replicas, &fakeReplica{name: name, env: env, errs: map[string]error{}})
	}
	load, m := &fakeLoader{}, journal.NewMemory(journal.Header{Replicas: []string{"orders-1", "orders-2"}})
	s := &subject.Subject{Promises: journal.DefaultPromises()}
	return &Execution{
		Environment: env, Recorder: m, Step: "it", Plan: &Plan{Subject: s}, Load: load,
		Measured: func(string) (journal.Quantity, bool) { return journal.Quantity{}, false },
		Recorded: func() (journal.Journal, error) { return m, nil },
	}, env, load, m
}

// carryOut starts an action and takes it back.
func carryOut(t *testing.T, a Action, x *Execution) error {
	t.Helper()
	stop, err := a.Start(t.Context(), x)
	if err != nil {
		return err
	}
	return stop(t.Context())
}

func quantitiesIn(m *journal.Memory) map[string]float64 {
	all := map[string]float64{}
	for e, q := range journal.Of[journal.Measured](m) {
		all[e.On+" "+q.Name] = q.Value
	}
	return all
}

// errorIs holds an error to a part of its text; empty for none.
func errorIs(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("error is %v, wanted …%s…", err, want)
	}
}

func TestAttackSends(t *testing.T) {
	for name, tt := range map[string]struct {
		attack   Attack
		capacity float64
		want     AttackSpec
		offered  map[string]float64
		err      string
	}{
		"rate": {
			attack: Attack{Rate: 20, Uses: "payments", HangUpAfter: time.Second, NewConnections: true},
			want: AttackSpec{
				Name: "it", Rate: 20, For: 5 * time.Second, Uses: "payments", HangUpAfter: time.Second,
				NewConnections: true, Replica: "orders-1",
			},
			offered: map[string]float64{},
		},
		"times the capacity": {
			attack: Attack{Capacity: 2.5, Routes: []string{"create"}}, capacity: 40,
			want: AttackSpec{
				Name: "it", Rate: 100, For: 5 * time.Second, Routes: []string{"create"}, Replica: "orders-1",
			},
			offered: map[string]float64{"it offered": 100},
		},
		"times the rate limit": {
			attack: Attack{RateLimit: 5, Caller: 2, ForwardedFor: true},
			want: AttackSpec{
				Name: "it", Rate: 100, For: 5 * time.Second, Header: http.Header{"X-Api-Key": {"second"}}, ForwardedFor: true,
				Replica: "orders-1",
			},
			offered: map[string]float64{},
		},
		"capacity not measured": {attack: Attack{Capacity: 2}, err: "add measure_capacity"},
	} {
		t.Run(name, func(t *testing.T) {
			x, _, load, m := fakes()
			x.Target = "orders-1"
			x.Measured = func(name string) (journal.Quantity, bool) {
				return journal.Quantity{Value: tt.capacity}, name == QuantityCapacity && tt.capacity > 0
			}
			x.Plan.Subject.Promises.RateLimit = 20
			x.Plan.Subject.Traffic.Callers = &loadgen.Callers{Header: "x-api-key", Values: []string{"first", "second"}}
			tt.attack.bind("it", 5*time.Second)
			errorIs(t, carryOut(t, &tt.attack, x), tt.err)
			if tt.err != "" {
				return
			}
			if diff := cmp.Diff([]AttackSpec{tt.want}, load.attacks); diff != "" {
				t.Errorf("attacks (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.offered, quantitiesIn(m)); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAttackOfCallers wants the subject to say who they are and what they may.
func TestAttackOfCallers(t *testing.T) {
	s := &subject.Subject{Promises: journal.DefaultPromises()}
	errorIs(t, (&Attack{RateLimit: 5}).Supports(s, ""), "what rate_limit there is")
	s.Promises.RateLimit = 20
	errorIs(t, (&Attack{RateLimit: 5}).Supports(s, ""), "")
	errorIs(t, (&Attack{RateLimit: 5, Caller: 1}).Supports(s, ""), "who caller 1 is")
	s.Traffic.Callers = &loadgen.Callers{Header: "X-Api-Key", Values: []string{"first", "second"}}
	errorIs(t, (&Attack{RateLimit: 5, Caller: 2}).Supports(s, ""), "")
	errorIs(t, (&Attack{RateLimit: 5, Caller: 3}).Supports(s, ""), "who caller 3 is")
	errorIs(t, (&Attack{RateLimit: 5, Count: 3}).Validate(), "exactly one of")
	errorIs(t, (&Attack{Rate: 5, Caller: -1}).Validate(), "from 1 on")
}

func TestMeasureCapacity(t *testing.T) {
	for name, tt := range map[string]struct {
		connections, promised, want int
		err                         error
	}{
		"given":    {connections: 4, promised: 7, want: 4},
		"promised": {promised: 7, want: 7},
		"neither":  {want: 10},
		"broken":   {want: 10, err: errors.New("no route")},
	} {
		t.Run(name, func(t *testing.T) {
			x, _, load, m := fakes()
			x.Plan.Subject.Promises.MaxOpenConnections = tt.promised
			load.perSecond, load.err = 52, tt.err
			a := &MeasureCapacity{Connections: tt.connections, For: time.Second, Uses: "db"}
			err := carryOut(t, a, x)
			want := []ClosedLoopSpec{{Name: "it", Connections: tt.want, For: time.Second, Uses: "db"}}
			if diff := cmp.Diff(want, load.loops); diff != "" {
				t.Errorf("loops (-want +got):\n%s", diff)
			}
			witness := a.Witness(m, "", journal.Window{})
			if tt.err != nil {
				errorIs(t, err, "measure the capacity: no route")
				if !errors.Is(witness, faults.ErrNotInForce) {
					t.Errorf("the witness of nothing says %v", witness)
				}
				return
			}
			errorIs(t, errors.Join(err, witness), "")
			if got := quantitiesIn(m)["it capacity"]; got != 52 {
				t.Errorf("recorded a capacity of %v", got)
			}
		})
	}
}

func TestMeasureRoundTrips(t *testing.T) {
	x, _, load, m := fakes()
	a := &MeasureRoundTrips{Connections: 4, For: time.Second, Uses: "db"}
	a.bind("it", time.Second)
	errorIs(t, carryOut(t, a, x), "")
	want := []ClosedLoopSpec{{Name: "it", Connections: 4, For: time.Second, Uses: "db"}}
	if diff := cmp.Diff(want, load.loops); diff != "" {
		t.Errorf("loops (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{"it round_trips": 0}, quantitiesIn(m)); diff != "" {
		t.Errorf("recorded of nothing (-want +got):\n%s", diff)
	}
	if err := a.Witness(m, "", journal.Window{}); !errors.Is(err, faults.ErrNotInForce) {
		t.Errorf("the witness of nothing says %v", err)
	}
	load.err = errors.New("no route")
	errorIs(t, carryOut(t, a, x), "measure the round trips: no route")
	x.Recorded = func() (journal.Journal, error) { return nil, errors.New("disk full") }
	load.err = nil
	errorIs(t, carryOut(t, a, x), "measure the round trips: disk full")
}

func TestMeasureRoundTripsRecords(t *testing.T) {
	x, _, _, m := fakes()
	(&MeasureRoundTrips{}).record(x, []detect.Trips{{Route: "place", Count: 5.17}, {Route: "get", Count: 0.2}})
	want := map[string]float64{"it round_trips_place": 5.17, "it round_trips_get": 0.2, "it round_trips": 5}
	if diff := cmp.Diff(want, quantitiesIn(m)); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

func TestHeaviest(t *testing.T) {
	x, _, load, _ := fakes()
	known := map[string]float64{"round_trips_place": 5.2, "round_trips_get": 1, "round_trips_quote": 0.1}
	x.Measured = func(name string) (journal.Quantity, bool) {
		v, ok := known[name]
		return journal.Quantity{Value: v}, ok
	}
	for _, tt := range []struct{ of, want []string }{
		{[]string{"get", "place", "quote"}, []string{"place"}},
		{[]string{"get", "quote"}, []string{"get"}},
		{[]string{"quote", "other"}, []string{"quote", "other"}},
	} {
		attack := &Attack{Rate: 1, Routes: tt.of, Heaviest: true}
		capacity := &MeasureCapacity{Routes: tt.of, Heaviest: true}
		errorIs(t, errors.Join(carryOut(t, attack, x), carryOut(t, capacity, x)), "")
		if got := load.attacks[len(load.attacks)-1].Routes; !slices.Equal(got, tt.want) {
			t.Errorf("attack on %q goes to %q, wanted %q", tt.of, got, tt.want)
		}
		if got := load.loops[len(load.loops)-1].Routes; !slices.Equal(got, tt.want) {
			t.Errorf("capacity of %q is measured on %q, wanted %q", tt.of, got, tt.want)
		}
	}
}

// measuredTarget takes toxics.
type measuredTarget struct {
	faults.Proxied
	toxics []faults.Toxic
}

func (*measuredTarget) Name() string { return "db" }
func (*measuredTarget) Kind() string { return "postgres" }
func (m *measuredTarget) AddToxic(_ context.Context, t faults.Toxic) error {
	m.toxics = append(m.toxics, t)
	return nil
}
func (*measuredTarget) RemoveToxic(context.Context, string) error { return nil }

type targetEnvironment struct {
	environment.Environment
	target faults.Target
}

func (e targetEnvironment) Target(string) (faults.Target, error) { return e.target, nil }

func TestFaultFollowsWhatWasMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, _, _, m := fakes()
		target := &measuredTarget{}
		x.Environment, x.Target = targetEnvironment{target: target}, "db"
		a := &FaultAction{Fault: &faults.Latency{Answer: 200 * time.Millisecond, Stream: faults.Downstream}}
		errorIs(t, carryOut(t, a, x), "add measure_round_trips")

		began := time.Now()
		x.Measured = func(name string) (journal.Quantity, bool) { // the step before is late
			late := time.Since(began) > time.Second && name == faults.QuantityRoundTrips
			return journal.Quantity{Value: 5}, late
		}
		errorIs(t, carryOut(t, a, x), "")
		if len(target.toxics) != 1 || target.toxics[0].Attributes["latency"] != 40*time.Millisecond {
			t.Errorf("toxics are %+v", target.toxics)
		}
		if diff := cmp.Diff(map[string]float64{"it injected_latency": 0.04}, quantitiesIn(m)); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
	})
}

func TestRollingRestart(t *testing.T) {
	plain := []string{"orders-1 terminate", "orders-1 start", "orders-2 terminate", "orders-2 start"}
	for name, tt := range map[string]struct {
		drain string
		fails string // what the first replica cannot do
		want  []string
		took  time.Duration
		err   string
		notes int
	}{
		"plain": {want: plain, took: time.Second},
		"prestop": {drain: "prestop", took: 5 * time.Second, want: []string{
			"orders-1 deregister", "orders-1 terminate", "orders-1 start", "orders-1 register",
			"orders-2 deregister", "orders-2 terminate", "orders-2 start", "orders-2 register",
		}},
		"killed after its grace": {fails: "terminate", want: plain, took: time.Second, notes: 1},
		"does not start":         {fails: "start", want: plain[:2], err: "rolling restart: orders-1: boom"},
		"stays in the balancer": {
			drain: "prestop", fails: "deregister", want: []string{"orders-1 deregister"}, err: "orders-1: boom",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, env, _, m := fakes()
				x.Plan.Subject.Promises.Drain = tt.drain // and 2 s of delay by default
				env.replicas[0].(*fakeReplica).errs[tt.fails] = errors.New("boom")
				began := time.Now()
				errorIs(t, carryOut(t, &RollingRestart{Pause: time.Second}, x), tt.err)
				if diff := cmp.Diff(tt.want, env.done); diff != "" {
					t.Errorf("done (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %v, wanted %v", took, tt.took)
				}
				notes := 0
				for range journal.Of[journal.Note](m) {
					notes++
				}
				if notes != tt.notes {
					t.Errorf("%d notes, wanted %d", notes, tt.notes)
				}
			})
		})
	}
}

func TestRestartOneWorksOnItsTarget(t *testing.T) {
	x, env, _, _ := fakes()
	x.Target = "orders-2"
	errorIs(t, carryOut(t, &RestartOne{}, x), "")
	if diff := cmp.Diff([]string{"orders-2 terminate", "orders-2 start"}, env.done); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
	x.Target = "orders-9"
	errorIs(t, carryOut(t, &RestartOne{}, x), `no replica called "orders-9"`)
}

func TestRestartWitness(t *testing.T) {
	exit := func(at journal.Instant, on string) journal.Entry {
		return journal.Entry{At: at, On: on, Body: journal.Exited{}}
	}
	start := func(at journal.Instant, on string) journal.Entry {
		return journal.Entry{At: at, On: on, Body: journal.Started{}}
	}
	both := []journal.Entry{exit(10, "orders-1"), start(11, "orders-1"), exit(12, "orders-2"), start(13, "orders-2")}
	for name, tt := range map[string]struct {
		entries  []journal.Entry
		all, one string
	}{
		"both":                {both, "", ""},
		"one":                 {both[:2], "orders-2 did not exit", ""},
		"not started again":   {both[:3], "orders-2 was not started again", ""},
		"the other one":       {both[2:], "orders-1 did not exit", "orders-1 did not exit"},
		"before the step":     {[]journal.Entry{exit(1, "orders-1"), start(2, "orders-1")}, "did not exit", "did not exit"},
		"started, then ended": {[]journal.Entry{start(10, "orders-1"), exit(11, "orders-1")}, "not started", "not started"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, m := fakes()
			for _, e := range tt.entries {
				m.Record(e)
			}
			w := journal.Window{From: 5}
			errorIs(t, (&RollingRestart{}).Witness(m, "", w), tt.all)
			errorIs(t, (&RestartAll{}).Witness(m, "", w), tt.all)
			errorIs(t, (&RestartOne{}).Witness(m, "orders-1", w), tt.one)
		})
	}
}

func TestScale(t *testing.T) {
	x, env, _, m := fakes()
	s := &Scale{To: 3}
	errorIs(t, carryOut(t, s, x), "")
	if !slices.Equal(env.done, []string{"scale |||"}) {
		t.Errorf("done: %v", env.done)
	}
	env.err = os.ErrDeadlineExceeded
	if err := carryOut(t, s, x); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	errorIs(t, s.Witness(m, "", journal.Window{}), "no replica was started or stopped")
	m.Record(journal.Entry{At: 5, On: "orders-3", Body: journal.Started{}})
	errorIs(t, s.Witness(m, "", journal.Window{From: 6}), "no replica was started or stopped")
	errorIs(t, s.Witness(m, "", journal.Window{From: 5}), "")
	sub := sampleSubject(t)
	errorIs(t, s.Supports(sub, "postgres"), "leave out `on: postgres`")
	errorIs(t, (&Scale{}).Supports(sub, ""), "at least 1")
	sub.Service.Ports = map[string]int{"http": 8080}
	errorIs(t, s.Supports(sub, ""), "fixed at 8080")
}

func TestBackgroundIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := background(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("cut off")
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := stop(ctx)
		errorIs(t, err, "did not end in time")
		errorIs(t, err, "cut off")
	})
}

func TestResubmit(t *testing.T) {
	x, _, load, m := fakes()
	r := &Resubmit{Keys: 20, AtOnce: 5, For: time.Second, Of: "before", Routes: []string{"create"}}
	errorIs(t, carryOut(t, r, x), "")
	want := []ResubmitSpec{{Name: "it", Keys: 20, AtOnce: 5, For: time.Second, Of: "before", Routes: []string{"create"}}}
	if diff := cmp.Diff(want, load.resubmits); diff != "" {
		t.Errorf("resubmitted (-want +got):\n%s", diff)
	}
	errorIs(t, r.Witness(m, "", journal.Window{}), "of 0 submissions none was answered")
	m.Record(journal.Entry{At: 5, On: "it", Body: journal.Submission{Code: 201}})
	errorIs(t, r.Witness(m, "", journal.Window{From: 6}), "of 0 submissions")
	errorIs(t, r.Witness(m, "", journal.Window{From: 5}), "")

	sub := sampleSubject(t)
	errorIs(t, r.Supports(sub, ""), "")
	errorIs(t, r.Supports(sub, "postgres"), "leave out")
	errorIs(t, (&Resubmit{Keys: 1, AtOnce: 1, For: time.Second}).Supports(sub, ""), "at_once 2 or more")
	for i := range sub.Traffic.Requests {
		sub.Traffic.Requests[i].Write = nil
	}
	errorIs(t, r.Supports(sub, ""), "no request of the traffic has a write rule")
}

func TestRegisters(t *testing.T) {
	x, _, load, m := fakes()
	r := &Registers{Keys: 2, Callers: 3, Pause: time.Millisecond, For: time.Second}
	errorIs(t, carryOut(t, r, x), "")
	want := []RegistersSpec{{Name: "it", Keys: 2, Callers: 3, Pause: time.Millisecond, For: time.Second}}
	if diff := cmp.Diff(want, load.registers); diff != "" {
		t.Errorf("used (-want +got):\n%s", diff)
	}
	errorIs(t, r.Witness(m, "", journal.Window{}), "of 0 requests none was answered")
	m.Record(journal.Entry{At: 5, On: "it", Body: journal.RegisterOp{Outcome: journal.Acknowledged}})
	errorIs(t, r.Witness(m, "", journal.Window{From: 6}), "of 0 requests")
	errorIs(t, r.Witness(m, "", journal.Window{From: 5}), "")

	sub := sampleSubject(t)
	errorIs(t, r.Supports(sub, ""), "")
	errorIs(t, r.Supports(sub, "postgres"), "leave out")
	errorIs(t, (&Registers{Keys: 1, Callers: 1, For: time.Second}).Supports(sub, ""), "callers 2 or more")
	sub.Traffic.Register = nil
	errorIs(t, r.Supports(sub, ""), "the traffic has no register")
}

func TestPlantSQL(t *testing.T) {
	x, _, load, m := fakes()
	p := &PlantSQL{Uses: "db", Routes: []string{"create"}, Pause: time.Millisecond}
	errorIs(t, carryOut(t, p, x), "")
	want := []PlantSQLSpec{{Name: "it", Uses: "db", Routes: []string{"create"}, Pause: time.Millisecond}}
	if diff := cmp.Diff(want, load.plants); diff != "" {
		t.Errorf("planted (-want +got):\n%s", diff)
	}
	m.Record(journal.Entry{At: 5, On: "it", Body: journal.Planted{Form: journal.PlantedControl, Code: 200}})
	errorIs(t, p.Witness(m, "", journal.Window{}), "of 0 requests with a planted value none was answered")
	m.Record(journal.Entry{At: 5, On: "it", Body: journal.Planted{Form: journal.PlantedQuote, Code: 400}})
	errorIs(t, p.Witness(m, "", journal.Window{From: 6}), "of 0 requests")
	errorIs(t, p.Witness(m, "", journal.Window{From: 5}), "")
	sub := sampleSubject(t)
	errorIs(t, p.Supports(sub, ""), "")
	errorIs(t, p.Supports(sub, "postgres"), "leave out")
	errorIs(t, (&PlantSQL{Pause: -1}).Supports(sub, ""), "must not be negative")
}
