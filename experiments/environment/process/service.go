package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/gobuild"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/render"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/subject"
)

// newReplica gives a replica its ports and its folder, and fills in what it is
// started with.
func (e *Environment) newReplica(ctx context.Context, index int, name string) (*fleet.Unit, error) {
	var leases []*ports.Lease
	free := func(context.Context) error {
		for _, l := range leases {
			l.Release()
		}
		return nil
	}
	numbers, addresses := map[string]int{}, map[string]string{}
	for port, number := range fleet.Ports(e.subject) {
		if number == 0 {
			lease, err := ports.Acquire()
			if err != nil {
				return nil, errors.Join(err, free(ctx))
			}
			leases = append(leases, lease)
			number = lease.Port
		}
		numbers[port] = number
		addresses[port] = net.JoinHostPort("127.0.0.1", strconv.Itoa(number))
	}
	spec, err := e.spec(index, name, numbers)
	if err != nil {
		return nil, errors.Join(err, free(ctx))
	}
	spec.Line = e.lines(name)
	return &fleet.Unit{
		Addresses: addresses, Lines: spec.Line, Free: free,
		Start: func(_ context.Context, exited func(spawn.Exit)) (fleet.Process, error) {
			for port, number := range numbers {
				if err := ports.Free(number); err != nil {
					return nil, fmt.Errorf("port %s cannot be used: %w", port, err)
				}
			}
			spec := spec
			spec.Exited = exited
			return startChild(e.host.Spawner(), spec)
		},
	}, nil
}

// child is a replica's process, or a server's.
type child struct{ *spawn.Process }

func startChild(s *spawn.Spawner, spec spawn.Spec) (fleet.Process, error) {
	p, err := s.Start(spec)
	if err != nil {
		return nil, err
	}
	return child{p}, nil
}

// Send implements [fleet.Process].
func (c child) Send(_ context.Context, s syscall.Signal) error {
	if s == syscall.SIGSTOP || s == syscall.SIGCONT || s == syscall.SIGKILL {
		return c.SignalGroup(s)
	}
	return c.Signal(s)
}

// spec is what a replica is started with.
func (e *Environment) spec(index int, name string, ports map[string]int) (spawn.Spec, error) {
	scratch := filepath.Join(e.dir, name)
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return spawn.Spec{}, err
	}
	scope := e.scope(false).With(replicaValues(index, name, scratch, ports))
	service := e.subject.Service
	args := service.Args
	if service.Build == nil {
		args = slices.Concat(service.Command[1:], service.Args)
	}
	spec := spawn.Spec{Path: e.program, Dir: gobuild.Dir(e.subject)}
	var err error
	if spec.Args, err = scope.Strings(args); err != nil {
		return spec, fmt.Errorf("service.args: %w", err)
	}
	env, err := scope.Env(service.Env)
	if err != nil {
		return spec, fmt.Errorf("service: %w", err)
	}
	if err := scope.Files(scratch, service.Files); err != nil {
		return spec, fmt.Errorf("service: %w", err)
	}
	spec.Env = append(e.baseEnv(scratch), env...)
	return spec, nil
}

func replicaValues(index int, name, scratch string, ports map[string]int) map[string]string {
	values := map[string]string{
		"replica.name": name, "replica.index": strconv.Itoa(index), "scratch": scratch, "listen": "127.0.0.1",
	}
	for port, number := range ports {
		values["port."+port] = strconv.Itoa(number)
	}
	return values
}

// scope holds what is the same for all replicas.
func (e *Environment) scope(direct bool) render.Scope {
	s := render.Scope{Values: e.references(direct), Dir: e.subject.Dir, Secrets: e.secrets}
	return s.With(map[string]string{"dir": gobuild.Dir(e.subject)})
}

// baseEnv is what every process of the service gets beside its own entries.
func (e *Environment) baseEnv(scratch string) []string {
	return append(e.marks(), "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"), "TMPDIR="+scratch)
}

// before runs the commands that come before the first replica, in order. Their
// references lead to the databases directly, past the proxies, so that what
// they do is no traffic of the service.
func (e *Environment) before(ctx context.Context) error {
	if len(e.subject.Service.Before) == 0 {
		return nil
	}
	scratch := filepath.Join(e.dir, "before")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return err
	}
	numbers := map[string]int{}
	for name, port := range fleet.Ports(e.subject) {
		if port == 0 {
			lease, err := e.lease()
			if err != nil {
				return err
			}
			port = lease.Port
		}
		numbers[name] = port
	}
	scope := e.scope(true).With(replicaValues(0, "before", scratch, numbers))
	if err := scope.Files(scratch, e.subject.Service.Files); err != nil {
		return fmt.Errorf("service: %w", err)
	}
	for i, c := range e.subject.Service.Before {
		if err := e.runBefore(ctx, c, scope, scratch); err != nil {
			return fmt.Errorf("service.before[%d]: %w", i, err)
		}
	}
	return nil
}

// runBefore runs one command. Its own environment entries stand over the
// service's.
func (e *Environment) runBefore(ctx context.Context, c subject.Command, scope render.Scope, scratch string) error {
	if len(c.Run) == 0 {
		return errors.New("run is empty")
	}
	e.options.Progress.Say("running " + strings.Join(c.Run, " "))
	shared, err := scope.Env(e.subject.Service.Env)
	if err != nil {
		return err
	}
	own, err := scope.Env(c.Env)
	if err != nil {
		return err
	}
	words, err := scope.Strings(c.Run)
	if err != nil {
		return err
	}
	spec := spawn.Spec{
		Path: words[0], Args: words[1:], Dir: gobuild.Dir(e.subject), Line: e.lines("before"),
		Env: append(append(e.baseEnv(scratch), shared...), own...),
	}
	if words[0] == "service" {
		spec.Path = e.program
		if e.subject.Service.Build == nil {
			spec.Args = slices.Concat(e.subject.Service.Command[1:], words[1:])
		}
	} else if spec.Path, err = gobuild.Find(gobuild.Dir(e.subject), words[0]); err != nil {
		return err
	}
	within := c.Within
	if within <= 0 {
		within = time.Minute
	}
	limit := fmt.Errorf("it did not end within %v", within)
	bounded, cancel := context.WithTimeoutCause(ctx, within, limit)
	defer cancel()
	exit, err := e.host.Spawner().Run(bounded, spec)
	if err != nil && errors.Is(context.Cause(bounded), limit) {
		err = limit
	}
	if err == nil && exit.Code != 0 {
		err = errors.New("it " + exit.String())
	}
	if err != nil {
		return fmt.Errorf("%s: %w%s", strings.Join(c.Run, " "), err, fleet.Printed(spec.Line))
	}
	return nil
}
