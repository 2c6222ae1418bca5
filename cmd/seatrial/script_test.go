package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
	"github.com/seatrial/seatrial/experiments/trial"
	"github.com/seatrial/seatrial/experiments/trial/trialtest"
)

func TestMain(m *testing.M) {
	reexec.Hook()
	testscript.Main(withServer{m}, map[string]func(){"seatrial": main})
}

// withServer are the tests, which may have started a PostgreSQL server.
type withServer struct{ *testing.M }

// Run runs the tests and stops the server.
func (w withServer) Run() int {
	defer postgrestest.Stop()
	return w.M.Run()
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"try":   func(ts *testscript.TestScript, _ bool, args []string) { try(t, ts, args) },
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("NO_COLOR", "1")
			env.Setenv("TMPDIR", env.WorkDir)
			orders, err := filepath.Abs(filepath.Join("..", "..", "testdata", "orders"))
			env.Setenv("ORDERS", orders)
			return err
		},
	})
}

// exits runs a program and holds its exit code against the first argument:
//
//	exits 64 seatrial run --bogus
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	code := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		code = "no exit code: " + err.Error()
		if x, ok := err.(interface{ ExitCode() int }); ok {
			code = strconv.Itoa(x.ExitCode())
		}
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// try leaves a saved trial of a fake service:
//
//	try good DIR        the service is good
//	try broken DIR      it answers 500 from the 560th hit on
func try(t *testing.T, ts *testscript.TestScript, args []string) {
	f := trialtest.New(t)
	if args[0] == "broken" {
		f.BrokenFrom.Store(560)
	}
	e, err := trialtest.Experiment("quick", "low")
	ts.Check(err)
	s := trialtest.Subject()
	plans, err := trial.Plans([]experiments.Experiment{e}, s, 7)
	ts.Check(err)
	result, err := trial.Run(t.Context(), trial.Config{
		Subject: s, Plans: plans, Backend: f, Seed: 7, Attempts: 2, Out: ts.MkAbs("made"), Version: "test",
	})
	ts.Check(err)
	ts.Check(trialtest.Calm(result.Dir))
	ts.Check(os.Rename(result.Dir, ts.MkAbs(args[1])))
}
