package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/render"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/subject"
)

// firstPort is the first port of a service that can be told its ports. Every
// replica has them all to itself.
const firstPort = 8080

// insidePorts are the service's ports in its container.
func insidePorts(s *subject.Subject) map[string]int {
	all := fleet.Ports(s)
	taken := map[int]bool{}
	for _, port := range all {
		taken[port] = true
	}
	inside, next := map[string]int{}, firstPort
	for _, name := range slices.Sorted(maps.Keys(all)) {
		inside[name] = all[name]
		if all[name] != 0 {
			continue
		}
		for taken[next] {
			next++
		}
		inside[name] = next
		next++
	}
	return inside
}

// newReplica makes a replica's container, unless that has been made already.
func (e *Environment) newReplica(ctx context.Context, index int, name string) (*fleet.Unit, error) {
	if u := e.spares.unit(name); u != nil {
		return u, nil
	}
	return e.unit(ctx, name, e.replicaValues(index, name), func(*order) {})
}

// unit makes a container of the service, from an order that was edited; values
// are what its references stand for.
func (e *Environment) unit(
	ctx context.Context, name string, values map[string]string, edit func(*order),
) (*fleet.Unit, error) {
	h := &holder{
		environment: e, lines: e.NewLines(name), wanted: e.Current(), edit: edit,
		values: values, name: name, publish: map[int]int{},
	}
	u := &fleet.Unit{Addresses: map[string]string{}, Fronted: true, Lines: h.lines, Use: h.use, Start: h.start}
	var leases []*ports.Lease
	for port, inside := range insidePorts(e.Subject) {
		l, err := ports.Acquire()
		if err != nil {
			release(leases)
			return nil, err
		}
		leases = append(leases, l)
		h.publish[inside], u.Addresses[port] = l.Port, l.Address()
	}
	if err := h.make(ctx); err != nil {
		release(leases)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	u.Free = func(ctx context.Context) error {
		defer release(leases)
		return h.remove(ctx)
	}
	return u, nil
}

func release(leases []*ports.Lease) {
	for _, l := range leases {
		l.Release()
	}
}

// order is what every container of a version of the service is made from.
func (e *Environment) order(v fleet.Version, scope render.Scope) (order, error) {
	service := v.Service
	c := service.Container
	o := order{
		image: v.From, cpus: c.CPUs, memory: c.MemoryBytes, readOnly: c.ReadOnly, noCaps: c.DropCapabilities,
		files: map[string]string{},
	}
	var err error
	if o.env, err = pairs(scope.Env(service.Env)); err != nil {
		return o, fmt.Errorf("service: %w", err)
	}
	args := service.Args
	if len(service.Command) > 1 {
		args = service.Command[1:]
	}
	if len(args) > 0 {
		if o.cmd, err = scope.Strings(args); err != nil {
			return o, fmt.Errorf("service.args: %w", err)
		}
	}
	for name, content := range service.Files {
		if clean := path.Clean(name); clean != name || path.IsAbs(name) || strings.HasPrefix(name, "..") {
			return o, fmt.Errorf("service: file %q: its name leads out of the replica's folder", name)
		}
		if o.files[name], err = scope.String(content); err != nil {
			return o, fmt.Errorf("service: file %s: %w", name, err)
		}
	}
	return o, nil
}

func (e *Environment) replicaValues(index int, name string) map[string]string {
	values := map[string]string{"replica.name": name, "replica.index": strconv.Itoa(index)}
	for port, number := range insidePorts(e.Subject) {
		values["port."+port] = strconv.Itoa(number)
	}
	return values
}

// scope holds what is the same for all replicas.
func (e *Environment) scope(direct bool) render.Scope {
	s := render.Scope{Values: e.references(direct), Dir: e.Subject.Dir, Secrets: e.Secrets}
	return s.With(map[string]string{"dir": "/", "scratch": shelf, "listen": "0.0.0.0"})
}

// pairs are NAME=value entries as a map.
func pairs(entries []string, err error) (map[string]string, error) { return mapped(entries), err }

func mapped(entries []string) map[string]string {
	all := map[string]string{}
	for _, entry := range entries {
		name, value, _ := strings.Cut(entry, "=")
		all[name] = value
	}
	return all
}

// commands runs a version's commands, each in a container from its image. Their
// references lead to the databases directly, past the proxies.
func (e *Environment) commands(ctx context.Context, v fleet.Version, source, at string) error {
	scope := e.commandScope(source)
	run := func(ctx context.Context, c fleet.Command) (spawn.Exit, error) { return e.run(ctx, v, c, scope) }
	return e.RunCommands(ctx, v.Service.Before, source, at, scope, run)
}

// commandScope is what the references of commands stand for.
func (e *Environment) commandScope(source string) render.Scope {
	return e.scope(true).With(e.replicaValues(0, source))
}

// commandOrder is what the container of a command is made from.
func (e *Environment) commandOrder(v fleet.Version, c fleet.Command, scope render.Scope) (order, error) {
	o, err := e.order(v, scope)
	if err != nil {
		return o, err
	}
	maps.Copy(o.env, mapped(c.Env))
	if o.cmd = c.Words[1:]; c.Words[0] != "service" {
		o.entrypoint = c.Words[:1]
	}
	return o, nil
}

// run runs one command to its end. Its container goes with the environment: who
// waits for what the command did need not wait for that.
func (e *Environment) run(
	ctx context.Context, v fleet.Version, c fleet.Command, scope render.Scope,
) (exit spawn.Exit, err error) {
	o, err := e.commandOrder(v, c, scope)
	if err != nil {
		return exit, err
	}
	made := e.spares.box(o)
	if made == nil {
		if made, err = e.make(ctx, plain, o, nil); err != nil {
			return exit, err
		}
		e.own(made)
	}
	made.lines = c.Lines
	r, err := made.start(ctx, nil, nil)
	if err != nil {
		return exit, err
	}
	if err := r.Wait(ctx); err != nil {
		return exit, errors.Join(err, made.remove(context.WithoutCancel(ctx)))
	}
	return r.Exit(), nil
}

// certificates are those that this machine trusts; empty where there are none.
func certificates() []byte {
	for _, file := range []string{
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
	} {
		if b, err := os.ReadFile(file); err == nil {
			return b
		}
	}
	return nil
}
