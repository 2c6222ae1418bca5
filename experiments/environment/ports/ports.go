// Package ports leases TCP ports on loopback from below the ephemeral range,
// so that no outgoing connection can take one while its listener is closed on
// purpose. A lease is a locked file: it holds across processes and ends with
// the process that took it.
package ports

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/gofrs/flock"
)

// The range leased from, First included and End not.
const (
	First = 20000
	End   = 30000
)

// Lease is one port that nobody else who leases will be given.
type Lease struct {
	Port int
	lock *flock.Flock
	once sync.Once
}

// Address is the port on loopback: "127.0.0.1:20041".
func (l *Lease) Address() string { return "127.0.0.1:" + strconv.Itoa(l.Port) }

// Release gives the port back. It is safe to call twice.
func (l *Lease) Release() {
	l.once.Do(func() { _ = l.lock.Unlock() })
}

// next spreads the leases of one process over the range; its beginning spreads
// those of several.
var next atomic.Uint32

// Dir is the folder that holds the lock files: seatrial/ports in the user's
// cache folder.
func Dir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = filepath.Join(os.TempDir(), "seatrial-"+strconv.Itoa(os.Getuid()))
	}
	return filepath.Join(cache, "seatrial", "ports")
}

// Acquire leases one port that can be listened on now.
func Acquire() (*Lease, error) { return acquire(Dir(), First, End) }

// AcquireIn is [Acquire] with another folder for the locks, for a process that
// may not write to the usual one.
func AcquireIn(dir string) (*Lease, error) { return acquire(dir, First, End) }

// AcquireN leases n ports, or none.
func AcquireN(n int) ([]*Lease, error) {
	leases := make([]*Lease, 0, n)
	for range n {
		l, err := Acquire()
		if err != nil {
			for _, l := range leases {
				l.Release()
			}
			return nil, err
		}
		leases = append(leases, l)
	}
	return leases, nil
}

func acquire(dir string, first, end int) (*Lease, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // lock files hold no secret
		return nil, fmt.Errorf("lease a port: %w", err)
	}
	size := end - first
	offset := os.Getpid() * 61 % size
	for range size {
		port := first + (offset+int(next.Add(1)))%size
		l, err := try(dir, port)
		if err != nil {
			return nil, fmt.Errorf("lease port %d: %w", port, err)
		}
		if l != nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("lease a port: all ports from %d to %d are taken; end the trials that hold them", first, end-1)
}

// try leases one port; it returns nil when somebody else has it.
func try(dir string, port int) (*Lease, error) {
	lock := flock.New(filepath.Join(dir, strconv.Itoa(port)))
	ok, err := lock.TryLock()
	if err != nil || !ok {
		return nil, err
	}
	if err := Free(port); err != nil {
		_ = lock.Unlock()
		return nil, nil //nolint:nilerr,nilnil // a port in use is not an error, only not ours
	}
	return &Lease{Port: port, lock: lock}, nil
}

// Free says why a port of loopback cannot be listened on; nil when it can.
func Free(port int) error {
	for _, host := range []string{"127.0.0.1", "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))) //nolint:noctx // it does not block
		if err != nil {
			if host == "::1" && !inUse(err) {
				continue // no IPv6 here
			}
			return err
		}
		_ = l.Close()
	}
	return nil
}

func inUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
