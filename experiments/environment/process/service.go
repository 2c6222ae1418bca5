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
	"syscall"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/gobuild"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/render"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
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
	for port, number := range fleet.Ports(e.Subject) {
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
	scratch := filepath.Join(e.dir, name)
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return nil, errors.Join(err, free(ctx))
	}
	values := replicaValues(index, name, scratch, numbers)
	spec, err := e.spec(e.Current(), scratch, values)
	if err != nil {
		return nil, errors.Join(err, free(ctx))
	}
	lines := e.NewLines(name)
	return &fleet.Unit{
		Addresses: addresses, Lines: lines, Free: free,
		Use: func(name string) error {
			v, err := e.Version(name)
			if err == nil {
				spec, err = e.spec(v, scratch, values)
			}
			return err
		},
		Start: func(_ context.Context, exited func(spawn.Exit)) (fleet.Process, error) {
			for port, number := range numbers {
				if err := ports.Free(number); err != nil {
					return nil, fmt.Errorf("port %s cannot be used: %w", port, err)
				}
			}
			spec := spec
			spec.Exited, spec.Line = exited, lines
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
func (e *Environment) spec(v fleet.Version, scratch string, values map[string]string) (spawn.Spec, error) {
	scope := e.scope(v, false).With(values)
	service := v.Service
	args := service.Args
	if service.Build == nil {
		args = slices.Concat(service.Command[1:], service.Args)
	}
	spec := spawn.Spec{Path: v.From, Dir: gobuild.Dir(v.Subject)}
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

// scope holds what is the same for all replicas of a version.
func (e *Environment) scope(v fleet.Version, direct bool) render.Scope {
	s := render.Scope{Values: e.references(direct), Dir: e.Subject.Dir, Secrets: e.Secrets}
	return s.With(map[string]string{"dir": gobuild.Dir(v.Subject)})
}

// baseEnv is what every process of the service gets beside its own entries.
func (e *Environment) baseEnv(scratch string) []string {
	return append(e.marks(), "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"), "TMPDIR="+scratch)
}

// commands runs a version's commands in order. Their references lead to the
// databases directly, past the proxies, so that what they do is no traffic of
// the service.
func (e *Environment) commands(ctx context.Context, v fleet.Version, name, at string) error {
	if len(v.Service.Before) == 0 {
		return nil
	}
	scratch := filepath.Join(e.dir, name)
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return err
	}
	numbers := map[string]int{}
	for name, port := range fleet.Ports(e.Subject) {
		if port == 0 {
			lease, err := e.Lease()
			if err != nil {
				return err
			}
			port = lease.Port
		}
		numbers[name] = port
	}
	scope := e.scope(v, true).With(replicaValues(0, name, scratch, numbers))
	if err := scope.Files(scratch, v.Service.Files); err != nil {
		return fmt.Errorf("service: %w", err)
	}
	run := func(ctx context.Context, c fleet.Command) (spawn.Exit, error) {
		return e.run(ctx, v, c, scope, scratch)
	}
	return e.RunCommands(ctx, v.Service.Before, name, at, scope, run)
}

// run runs one command to its end. Its own environment entries stand over the
// service's.
func (e *Environment) run(
	ctx context.Context, v fleet.Version, c fleet.Command, scope render.Scope, scratch string,
) (spawn.Exit, error) {
	shared, err := scope.Env(v.Service.Env)
	if err != nil {
		return spawn.Exit{}, err
	}
	spec := spawn.Spec{
		Path: c.Words[0], Args: c.Words[1:], Dir: gobuild.Dir(v.Subject), Line: c.Lines,
		Env: append(append(e.baseEnv(scratch), shared...), c.Env...),
	}
	if c.Words[0] == "service" {
		spec.Path = v.From
		if v.Service.Build == nil {
			spec.Args = slices.Concat(v.Service.Command[1:], c.Words[1:])
		}
	} else if spec.Path, err = gobuild.Find(gobuild.Dir(v.Subject), c.Words[0]); err != nil {
		return spawn.Exit{}, err
	}
	return e.host.Spawner().Run(ctx, spec)
}
