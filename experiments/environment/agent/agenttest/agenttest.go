// Package agenttest starts real agents for tests: children of the test binary.
package agenttest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/journal"
)

// hostVariable makes a test binary an agent.
const hostVariable = "SEATRIAL_AGENTTEST"

// Host runs the agent when this process was started as one, and reports
// whether it was. Call it first in TestMain, and return when it is true.
func Host() bool {
	if os.Getenv(hostVariable) == "" {
		return false
	}
	if err := agent.Main(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return true
}

// Supervise starts an agent that is stopped when the test is over.
func Supervise(t testing.TB, c agent.Config, rec journal.Recorder) *agent.Agent {
	t.Helper()
	a, err := agent.Supervise(t.Context(), Launcher{}, c, rec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
		if err := a.Stop(ctx); err != nil {
			t.Errorf("second stop: %v", err)
		}
	})
	return a
}

// Launcher launches the test binary as an agent.
type Launcher struct{}

// Launch starts one and reads its handshake.
func (Launcher) Launch(ctx context.Context, c agent.Config) (agent.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), hostVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	p := &process{cmd: cmd, in: in}
	if p.shake, err = greet(in, out, c); err != nil {
		return nil, errors.Join(err, p.Kill(), p.Wait())
	}
	return p, nil
}

func greet(in io.Writer, out io.Reader, c agent.Config) (agent.Handshake, error) {
	if err := json.NewEncoder(in).Encode(c); err != nil {
		return agent.Handshake{}, fmt.Errorf("configure agent: %w", err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return agent.Handshake{}, fmt.Errorf("agent's handshake: %w", err)
	}
	return agent.DecodeHandshake(line)
}

type process struct {
	cmd   *exec.Cmd
	in    io.Closer // kept open: its end ends the agent
	shake agent.Handshake
}

// Handshake is what the agent said when it was ready.
func (p *process) Handshake() agent.Handshake { return p.shake }

// Kill ends the process; that it has ended is no error.
func (p *process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Wait returns when the process has ended, and says how.
func (p *process) Wait() error { return p.cmd.Wait() }
