package watcher

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPostmasters(t *testing.T) {
	scratch := t.TempDir()
	for name, content := range map[string]string{
		"t1/postmaster.pid":         "4242\n/data\n",
		"e3/d0/data/postmaster.pid": "4243\n/data\n1795340000\n20001\n",
		"e3/d1/data/postmaster.pid": "nonsense\n",
		"e3/d2/data/postmaster.pid": "1\n",
		"e3/d3/data/other.pid":      "4244\n",
	} {
		path := filepath.Join(scratch, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]int{4242, 4243}, postmasters(scratch)); diff != "" {
		t.Error(diff)
	}
}

// A process that lives on may have been given the pid of one that is gone: its
// memory is not ours.
func TestSegmentsOfTheLivingAreSpared(t *testing.T) {
	makers := map[int]uint64{os.Getpid(): 0}
	if err := removeSegments(t.Context(), makers); err != nil {
		t.Fatal(err)
	}
	if len(makers) != 0 {
		t.Error("a living process is taken for a dead one")
	}
}

// What was found is removed although something else could not be looked at.
func TestReapWhatWasFound(t *testing.T) {
	blind := errors.New("the engine has not answered")
	cleaners["blind"] = Cleaner{Find: func(context.Context) ([]Leftover, error) { return nil, blind }}
	defer delete(cleaners, "blind")
	parent := t.TempDir()
	dead := filepath.Join(parent, prefix+"dead")
	owner := filepath.Join(dead, ownerFile)
	long := time.Now().Add(-time.Hour)
	err := errors.Join(os.Mkdir(dead, 0o700), os.WriteFile(owner, nil, 0o600), os.Chtimes(owner, long, long))
	if err != nil {
		t.Fatal(err)
	}
	found, err := reap(t.Context(), parent)
	if !errors.Is(err, blind) || !strings.Contains(describe(found, parent), "folder "+dead) {
		t.Errorf("found %v: %v", found, err)
	}
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Error("the folder is still there:", err)
	}
}
