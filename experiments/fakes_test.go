package experiments

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
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

func (f *fakeReplica) Version() string { return f.version }

func (f *fakeReplica) Use(version string) error { return f.did("use " + version) }

func (f *fakeReplica) Deregister(context.Context) error { return f.did("deregister") }

func (f *fakeReplica) Register(context.Context) error { return f.did("register") }

func (f *fakeReplica) Start(context.Context) error { return f.did("start") }

func (f *fakeReplica) Terminate(context.Context, time.Duration) error {
	return f.did("terminate")
}

func (f *fakeReplica) Signal(_ context.Context, s os.Signal) error { return f.did(s.String()) }

func (f *fakeReplica) WaitExit(context.Context) error { return f.errs["wait"] }

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

func notesIn(m *journal.Memory) (n int) {
	for range journal.Of[journal.Note](m) {
		n++
	}
	return n
}

// errorIs holds an error to a part of its text; empty for none.
func errorIs(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("error is %v, wanted …%s…", err, want)
	}
}
