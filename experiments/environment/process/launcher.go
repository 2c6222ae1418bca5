package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/host"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
)

// launcher starts agents as child processes of this program in another role.
type launcher struct {
	host  *host.Host
	lines *spawn.Lines
	trial string
}

// agentProcess is one of them. Its standard input stays open until its end.
type agentProcess struct {
	*spawn.Process
	stdin *os.File
	shake agent.Handshake
	stop  func() bool
}

// Launch implements [agent.Launcher].
func (l *launcher) Launch(ctx context.Context, c agent.Config) (agent.Process, error) {
	cmd, err := reexec.Command(context.WithoutCancel(ctx), agent.Role)
	if err != nil {
		return nil, err
	}
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, inRead.Close(), inWrite.Close())
	}
	defer outRead.Close()
	cmd.Stdin, cmd.Stdout = inRead, outWrite
	cmd.Env = append(cmd.Env, l.host.Watcher().Marks(l.trial)...)
	p, err := l.host.Spawner().StartCommand(cmd, l.lines, nil)
	_ = inRead.Close()
	_ = outWrite.Close()
	if err != nil {
		return nil, errors.Join(err, inWrite.Close())
	}
	a := &agentProcess{Process: p, stdin: inWrite}
	a.stop = context.AfterFunc(ctx, func() { _ = a.Kill() })
	if err := a.greet(c, outRead); err != nil {
		err = errors.Join(err, a.Kill())
		_ = a.Wait()
		return nil, fmt.Errorf("%w (it printed: %q)", err, l.lines.Tail())
	}
	return a, nil
}

// greet hands the configuration over and reads the handshake.
func (a *agentProcess) greet(c agent.Config, out *os.File) error {
	if err := json.NewEncoder(a.stdin).Encode(c); err != nil {
		return fmt.Errorf("hand the agent its configuration: %w", err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the agent's handshake: %w", err)
	}
	a.shake, err = agent.DecodeHandshake(line)
	return err
}

// Handshake implements [agent.Process].
func (a *agentProcess) Handshake() agent.Handshake { return a.shake }

// Kill implements [agent.Process].
func (a *agentProcess) Kill() error {
	err := a.SignalGroup(syscall.SIGKILL)
	if errors.Is(err, spawn.ErrExited) {
		return nil
	}
	return err
}

// Wait implements [agent.Process].
func (a *agentProcess) Wait() error {
	<-a.Done()
	a.stop()
	_ = a.stdin.Close()
	if e := a.Exit(); e.Code != 0 {
		return fmt.Errorf("the agent %s", e)
	}
	return nil
}

var (
	_ agent.Launcher = (*launcher)(nil)
	_ agent.Process  = (*agentProcess)(nil)
)
