package docker

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
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/journal"
)

var _ environment.Contained = (*Environment)(nil)

// tools are what an image holds that an intruder would use first.
var tools = []string{
	"/bin/sh", "/bin/bash", "/bin/ash", "/bin/dash", "/bin/busybox", "/usr/bin/sh", "/usr/bin/bash", "/usr/bin/dash",
	"/busybox/sh", "/usr/bin/apt", "/usr/bin/apt-get", "/usr/bin/dpkg", "/sbin/apk", "/usr/bin/yum", "/usr/bin/dnf",
	"/usr/bin/microdnf", "/usr/bin/rpm",
}

// bundles are the files in which Go looks for the authorities to trust.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// Image implements [environment.Contained].
func (e *Environment) Image(ctx context.Context) (journal.Image, error) {
	i := journal.Image{Name: e.Current().From}
	seen, err := e.engine.client.ImageInspect(ctx, i.Name)
	if err != nil {
		return i, fmt.Errorf("look at image %s: %w", i.Name, err)
	}
	i.Bytes, i.Layers = seen.Size, len(seen.RootFS.Layers)
	var env []string
	if c := seen.Config; c != nil {
		i.User, i.Entrypoint, env = c.User, slices.Concat(c.Entrypoint, c.Cmd), c.Env
		for port := range c.ExposedPorts {
			number, _, _ := strings.Cut(port, "/")
			if n, err := strconv.Atoi(number); err == nil {
				i.Exposed = append(i.Exposed, n)
			}
		}
		slices.Sort(i.Exposed)
	}
	if err := e.holds(ctx, &i); err != nil {
		return i, err
	}
	if i.Secrets, err = e.secretsIn(ctx, i.Name, env); err != nil {
		i.Unread = err.Error()
	}
	return i, ctx.Err()
}

// holds looks for tools and certificates in a container that is never started.
func (e *Environment) holds(ctx context.Context, i *journal.Image) (err error) {
	made, err := e.make(ctx, plain, order{image: i.Name}, e.NewLines("image"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, made.remove(context.WithoutCancel(ctx))) }()
	if i.Tools, err = made.among(ctx, tools); err != nil {
		return err
	}
	found, err := made.among(ctx, bundles)
	if len(found) > 0 {
		i.Certificates = found[0]
	}
	return err
}

// among are those of some paths that the container has.
func (b *box) among(ctx context.Context, paths []string) (found []string, err error) {
	for _, path := range paths {
		s, err := b.engine.client.ContainerStatPath(ctx, b.id, client.ContainerStatPathOptions{Path: path})
		switch {
		case errdefs.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("look for %s in a container: %w", path, err)
		case s.Stat.Name != "":
			found = append(found, path)
		}
	}
	return found, nil
}

// Confine implements [environment.Contained].
func (e *Environment) Confine(ctx context.Context) (journal.Confined, error) {
	c := journal.Confined{Grace: e.Grace()}
	for _, port := range insidePorts(e.Subject) {
		c.Declared = append(c.Declared, port)
	}
	slices.Sort(c.Declared)
	name := e.Subject.Name + "-confined"
	u, err := e.unit(ctx, name, e.replicaValues(0, name), func(o *order) { o.readOnly, o.noCaps = true, true })
	if err != nil {
		return c, err
	}
	defer func() { _ = u.Free(context.WithoutCancel(ctx)) }() // the environment's end removes it again
	p, err := u.Start(ctx, nil)
	if err != nil {
		c.Err = err.Error() // such as a program that does not exist
		return c, nil
	}
	began := time.Now()
	err = e.Ready(ctx, name, u, p)
	c.Took, c.Ready = time.Since(began), err == nil
	if ctx.Err() != nil {
		return c, ctx.Err()
	}
	e.look(&c, p.PID())
	if err != nil {
		c.Err = e.Clean(err.Error())
		return c, p.Kill(ctx)
	}
	return c, e.halt(ctx, &c, p)
}

// halt tells a confined replica to stop, and looks how it takes that.
func (e *Environment) halt(ctx context.Context, c *journal.Confined, p fleet.Process) error {
	asked := time.Now()
	if err := p.Send(ctx, fleet.StopSignal(e.Subject)); err != nil && !p.Ended() {
		return err
	}
	grace := time.NewTimer(c.Grace)
	defer grace.Stop()
	select {
	case <-p.Done():
	case <-ctx.Done():
		return ctx.Err()
	case <-grace.C:
		c.Killed = true
		if err := p.Kill(ctx); err != nil {
			return err
		}
	}
	c.Ended, c.Code = time.Since(asked), p.Exit().Code
	return nil
}

// look reads what this machine's kernel knows of a container's first process.
// An engine elsewhere, as on Docker Desktop, does not show it.
func (e *Environment) look(c *journal.Confined, pid int) {
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(folder, "status"))
	if err != nil || !ours(folder) {
		return
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) > 1 && fields[0] == "Name:":
			c.Program = fields[1]
		case len(fields) > 1 && fields[0] == "Uid:":
			c.UID, err = strconv.Atoi(fields[1])
			c.Seen = err == nil
		}
	}
	for _, file := range []string{"tcp", "tcp6"} {
		if text, err := os.ReadFile(filepath.Join(folder, "net", file)); err == nil {
			c.Listening = append(c.Listening, listeners(string(text))...)
		}
	}
	slices.Sort(c.Listening)
	c.Listening = slices.DeleteFunc(slices.Compact(c.Listening), func(a string) bool {
		return strings.HasPrefix(a, embeddedDNS) // the engine's own, in every network of its
	})
}

const embeddedDNS = "127.0.0.11:"

// ours reports whether a process of that folder is in another network than we
// are, as a container's is, and not some process of ours that has its number.
func ours(folder string) bool {
	theirs, err := os.Readlink(filepath.Join(folder, "ns", "net"))
	own, _ := os.Readlink("/proc/self/ns/net")
	return err == nil && theirs != own
}

// listening is the state of a listener in /proc/net/tcp.
const listening = "0A"

// listeners reads the listeners of a /proc/net/tcp or tcp6.
func listeners(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != listening {
			continue
		}
		if a, ok := kernelAddress(f[1]); ok {
			all = append(all, a)
		}
	}
	return all
}

// kernelAddress reads an address as the kernel prints it: words of four bytes in
// the order of a little-endian machine, and the port in hexadecimal.
func kernelAddress(text string) (string, bool) {
	host, port, ok := strings.Cut(text, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || len(host) != 8 && len(host) != 32 {
		return "", false
	}
	ip := make(net.IP, len(host)/2)
	for i := range ip {
		b, err := strconv.ParseUint(host[2*i:2*i+2], 16, 8)
		if err != nil {
			return "", false
		}
		ip[i/4*4+3-i%4] = byte(b)
	}
	return net.JoinHostPort(ip.String(), strconv.FormatUint(n, 10)), true
}
