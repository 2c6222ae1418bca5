// Package trialtest is a trial without an environment, for tests: a backend
// whose service is an HTTP server in this process, a subject for it, and an
// experiment of three seconds.
package trialtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
	"github.com/seatrial/seatrial/loadgen"
)

// Fake is a backend, an environment and a service in one. It has no targets.
type Fake struct {
	BrokenFrom atomic.Int64 // the service answers 500 from this hit of a run on; zero: never
	// OnPrepare is what Prepare returns; OnStart is asked by the n-th Start.
	// Both may be nil.
	OnPrepare error
	OnStart   func(n int64) error
	// Starts, Up and Peak count environments: started, up now, up at once at
	// most. Closed counts the calls of Close.
	Starts, Up, Peak, Closed atomic.Int64

	server *httptest.Server
	hits   atomic.Int64
}

// Cleaner is the part of testing.TB that a Fake needs.
type Cleaner interface{ Cleanup(func()) }

// New starts a fake that ends with the test.
func New(t Cleaner) *Fake {
	f := &Fake{}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := f.hits.Add(1)
		if from := f.BrokenFrom.Load(); from > 0 && n >= from {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(f.server.Close)
	return f
}

// Name is "fake".
func (f *Fake) Name() string { return "fake" }

// Prepare returns what the test wants it to.
func (f *Fake) Prepare(context.Context, *subject.Subject, environment.Progress) error {
	return f.OnPrepare
}

// Close counts.
func (f *Fake) Close() error {
	f.Closed.Add(1)
	return nil
}

// Start returns the fake itself.
func (f *Fake) Start(
	context.Context, *subject.Subject, journal.Recorder, environment.Options,
) (environment.Environment, error) {
	n := f.Starts.Add(1)
	f.hits.Store(0)
	if f.OnStart != nil {
		if err := f.OnStart(n); err != nil {
			return nil, err
		}
	}
	f.Peak.Store(max(f.Peak.Load(), f.Up.Add(1)))
	return f, nil
}

var errNone = errors.New("the fake environment has no such thing")

// Target finds nothing.
func (f *Fake) Target(string) (faults.Target, error) { return nil, errNone }

// Targets are none.
func (f *Fake) Targets() []faults.Target { return nil }

// Endpoint is the server's URL.
func (f *Fake) Endpoint(string) string { return f.server.URL }

// Replicas are none.
func (f *Fake) Replicas() []environment.Replica { return nil }

// Scale is refused.
func (f *Fake) Scale(context.Context, int) error { return errNone }

// Flush has nothing to do.
func (f *Fake) Flush(context.Context) error { return nil }

// Stop counts.
func (f *Fake) Stop(context.Context) error {
	f.Up.Add(-1)
	return nil
}

// Secret is in the subject's environment and headers, and must not be written
// out.
const Secret = "hunter2-is-secret" //nolint:gosec // no real one

// Subject is a service with one kind of request.
func Subject() *subject.Subject {
	s := &subject.Subject{Version: 1, Name: "svc", Promises: journal.DefaultPromises(), Defaults: []string{"drain"}}
	s.Service.Replicas = 1
	s.Service.Env = map[string]string{"TOKEN": Secret}
	s.Traffic = loadgen.Traffic{
		Rate: 400, Timeout: time.Second, Port: "http", Headers: map[string]string{"Authorization": Secret},
		Requests: []loadgen.Request{{
			Name: "work", Weight: 1, Method: http.MethodGet, Path: "/work", Success: []string{"2xx"},
		}},
	}
	return s
}

const quick = `
version: 1
name: NAME
title: It answers
processor: PROCESSOR
steady_state: {for: 1300ms}
method:
  - {name: more, at: 0s, for: 300ms, operation: {attack: {rate: 20}}}
recovery: 1s
settle: 10ms
expect:
  - success: {ratio: 0.9, during: all, min_samples: 20}
`

// Experiment expects good answers for a little less than three seconds, the
// first 520 of them in the steady state, and breaks nothing.
func Experiment(name, processor string) (experiments.Experiment, error) {
	text := strings.NewReplacer("NAME", name, "PROCESSOR", processor).Replace(quick)
	return experiments.Decode(name+".yaml", []byte(text))
}

// Calm rewrites the journals of a saved trial as if the machine had been quiet,
// so that its verdicts depend on the service alone.
func Calm(trial string) error {
	files, err := filepath.Glob(filepath.Join(trial, "*", "*", "journal.jsonl"))
	if err != nil {
		return err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		lines := bytes.Split(b, []byte("\n"))
		for i, line := range lines {
			if lines[i], err = calm(line); err != nil {
				return err
			}
		}
		err = os.WriteFile(file, bytes.Join(lines, []byte("\n")), 0o600) //nolint:gosec // a test names the folder
		if err != nil {
			return err
		}
	}
	return nil
}

func calm(line []byte) ([]byte, error) {
	if !bytes.Contains(line, []byte(`"kind":"sleeper"`)) {
		return line, nil
	}
	var e journal.Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, err
	}
	s, ok := e.Body.(journal.Sleeper)
	if !ok {
		return line, nil
	}
	s.Overshoots = slices.Repeat([]time.Duration{time.Millisecond}, 200)
	e.Body = s
	return json.Marshal(e)
}
