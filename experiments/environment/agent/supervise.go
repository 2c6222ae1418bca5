package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Source is the name under which the agent's clock is recorded.
const Source = "agent"

// Launcher starts agent processes: child processes, containers.
type Launcher interface {
	// Launch starts an agent with the configuration and returns once its
	// handshake has been read. The process lives until it is killed or the
	// context ends.
	Launch(context.Context, Config) (Process, error)
}

// Process is one running agent.
type Process interface {
	// Handshake is what the agent said when it was ready.
	Handshake() Handshake
	// Kill ends the process at once; it is safe to call after its end.
	Kill() error
	// Wait returns when the process has ended. Its error is that of waiting,
	// or says how the process ended.
	Wait() error
}

// errReplaced says that the agent was replaced while something was asked of
// it: no fault is in force any more, and every connection was lost.
var errReplaced = errors.New("the agent did not answer and was replaced")

// Agent is a supervised agent: its process is replaced when it no longer
// answers, and what it sees is brought into the recorder.
type Agent struct {
	launcher Launcher
	recorder journal.Recorder
	wedged   time.Duration // Toxiproxy's API counts as wedged after this long
	life     context.Context
	end      context.CancelFunc
	tasks    sync.WaitGroup

	mu      sync.Mutex
	config  Config
	current *session // nil when there is none any more
	failure error    // why there is none
	toxics  map[string]string
}

// defaultWedged is how long Toxiproxy's API may take. Healthy, it answers
// within milliseconds; wedged, it answers 503 after 25 s.
const defaultWedged = 4 * time.Second

// Supervise starts an agent and everything that keeps it in order. The context
// bounds the start; the agent then lives until [Agent.Stop].
func Supervise(ctx context.Context, l Launcher, c Config, rec journal.Recorder) (*Agent, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	a := &Agent{
		launcher: l, recorder: rec, wedged: defaultWedged,
		life: life, end: end, config: c, toxics: map[string]string{},
	}
	stop := context.AfterFunc(ctx, end)
	s, err := a.launch(c)
	if err != nil || !stop() {
		end()
		a.tasks.Wait()
		if s != nil {
			err = errors.Join(ctx.Err(), s.end())
		}
		return nil, fmt.Errorf("start agent: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.config, a.current = c.pinned(s.shake), s
	return a, nil
}

// launch starts a process and a session with it.
func (a *Agent) launch(c Config) (*session, error) {
	p, err := a.launcher.Launch(a.life, c)
	if err != nil {
		return nil, err
	}
	s := newSession(p)
	err = s.measure(a.life, a.recorder)
	if err == nil {
		err = s.open(a.life)
	}
	if err != nil {
		return nil, errors.Join(err, s.end())
	}
	a.tasks.Go(func() {
		why := s.read(a.recorder)
		_ = a.replace(s, "its stream of records ended: "+why.Error()) // kept as the agent's failure
	})
	a.tasks.Go(func() { s.keepTime(a.life, a.recorder) })
	return s, nil
}

// session is the present session, or why there is none.
func (a *Agent) session() (*session, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == nil {
		return nil, fmt.Errorf("agent: %w", a.failure)
	}
	return a.current, nil
}

// replace kills the process of a session and starts another with the same
// addresses. It does nothing when that has been done already or the agent is
// being stopped.
func (a *Agent) replace(s *session, reason string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.life.Err() != nil || a.current != s {
		return a.failure
	}
	_ = s.end() // how a wedged process ends says nothing
	a.recorder.Record(journal.Entry{On: Source, Body: journal.AgentReplaced{Reason: reason}})
	clear(a.toxics)
	next, err := a.launch(a.config)
	if err != nil {
		a.current, a.failure = nil, fmt.Errorf("replace the agent after %s: %w", reason, err)
		return a.failure
	}
	a.current = next
	return nil
}

// Handshake is what the present process said when it was ready; the zero value
// when there is none any more.
func (a *Agent) Handshake() Handshake {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == nil {
		return Handshake{}
	}
	return a.current.shake
}

// Flush returns when everything that the agent has seen so far has reached the
// recorder: calls under way (as open; their end is then not recorded any more)
// and tallies. It is for the end of a run.
func (a *Agent) Flush(ctx context.Context) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	var f flushAnswer
	if err := s.ask(ctx, http.MethodPost, "/flush", nil, &f); err != nil {
		return fmt.Errorf("flush the agent's records: %w", err)
	}
	if err := s.await(ctx, f.Entries); err != nil {
		return fmt.Errorf("flush the agent's records: %w", err)
	}
	return nil
}

// Health asks the agent how it is.
func (a *Agent) Health(ctx context.Context) (Health, error) {
	s, err := a.session()
	if err != nil {
		return Health{}, err
	}
	var h Health
	if err := s.ask(ctx, http.MethodGet, "/health", nil, &h); err != nil {
		return Health{}, fmt.Errorf("ask the agent's health: %w", err)
	}
	return h, nil
}

// Stop ends the agent and everything that belongs to it. It is safe to call
// twice.
func (a *Agent) Stop(ctx context.Context) error {
	a.end()
	a.mu.Lock()
	s := a.current
	a.current, a.failure = nil, errors.New("it has been stopped")
	a.mu.Unlock()
	var err error
	if s != nil {
		err = s.end()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.tasks.Wait()
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("stop agent: %w", ctx.Err()))
	}
}
