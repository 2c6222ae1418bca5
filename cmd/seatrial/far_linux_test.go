package main

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/seatrial/seatrial/experiments"
)

const (
	// farEnv says that this is the child that [TestFarShore] has started.
	farEnv = "SEATRIAL_TEST_FAR"
	// far is an address that is not on loopback, and nobody's (RFC 5737).
	far = "192.0.2.10"
)

// TestFarShore tries a service on a PostgreSQL whose address is not on loopback:
// it is refused until that host is allowed, and nothing is left there. It does so
// in a network namespace, which only root can make.
func TestFarShore(t *testing.T) {
	t.Parallel()
	if os.Getenv(farEnv) == "" {
		inOwnNetwork(t)
		return
	}
	haveAddress(t)
	s := newShore(t)
	s.address = relayFrom(t, far, s.address)
	const entry = "migrations: tables"
	v := s.yard(t, entry).run("run", "snared", "--attempts=1")
	v.ended(experiments.ExitUsage,
		"db: "+s.address+" is not on this machine; give --allow-target "+far+" when you mean it")
	v = s.yard(t, entry).run("run", "snared", "--attempts=1", "--allow-target", "192.0.2.11")
	v.ended(experiments.ExitUsage, "give --allow-target "+far+" when you mean it")
	if left := s.left(); len(left) > 0 {
		t.Errorf("a trial that was refused has left %v", left)
	}
	s.interrupted(entry, "--allow-target", far)
}

// inOwnNetwork has the test run in a process with a network of its own.
func inOwnNetwork(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network namespace")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestFarShore$", "-test.v")
	cmd.Env = append(os.Environ(), farEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	switch said := string(out); {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EINVAL):
		t.Skip("no network namespace can be made here:", err)
	case strings.Contains(said, "--- SKIP: TestFarShore"):
		t.Skip(said)
	case err != nil || !strings.Contains(said, "--- PASS: TestFarShore"):
		t.Errorf("%v\n%s", err, said)
	}
}

// haveAddress gives a new network its loopback, and the address.
func haveAddress(t *testing.T) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	address, err := netlink.ParseAddr(far + "/32")
	if err == nil {
		err = netlink.AddrAdd(lo, address)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// relayFrom listens on a host, and passes on what comes to an address.
func relayFrom(t *testing.T, host, to string) (address string) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		open.Wait()
	})
	open.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			var d net.Dialer
			on, err := d.DialContext(t.Context(), "tcp", to)
			if err != nil {
				_ = from.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{from, on}, {on, from}} {
				open.Go(func() {
					_, _ = io.Copy(way[0], way[1])
					_, _ = way[0].Close(), way[1].Close()
				})
			}
		}
	})
	return l.Addr().String()
}
