package ports

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gofrs/flock"
)

func TestLeasesDiffer(t *testing.T) {
	leases, err := AcquireN(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, l := range leases {
		defer l.Release()
		if seen[l.Port] || l.Port < First || l.Port >= End {
			t.Errorf("port %d was leased twice or is out of range", l.Port)
		}
		seen[l.Port] = true
	}
}

func TestLockedAndUsedPortsAreSkipped(t *testing.T) {
	dir := t.TempDir()
	const first = 29990
	other := flock.New(filepath.Join(dir, "29991")) // as another trial would
	if ok, err := other.TryLock(); err != nil || !ok {
		t.Fatal(ok, err)
	}
	defer other.Unlock()
	used, err := net.Listen("tcp", "127.0.0.1:29992")
	if err != nil {
		t.Skip("the port of this test is in use:", err)
	}
	defer used.Close()
	l, err := acquire(dir, first, first+3)
	if err != nil {
		t.Fatal(err)
	}
	if l.Port != first {
		t.Errorf("leased %d, want %d, the only one left", l.Port, first)
	}
	if _, err := acquire(dir, first, first+3); err == nil || !strings.Contains(err.Error(), "are taken") {
		t.Errorf("with all taken: %v", err)
	}
	l.Release()
	l.Release()
	again, err := acquire(dir, first, first+3)
	if err != nil {
		t.Fatal("after the release:", err)
	}
	again.Release()
}

func TestNoFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := acquire(file, First, End); err == nil {
		t.Error("no error where the folder is a file")
	}
}
