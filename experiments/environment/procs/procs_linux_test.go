package procs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	line := "42 (a) b) (c) S 1 40 40 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 98765 10 0"
	got, err := parseStat([]byte(line))
	if diff := cmp.Diff(Process{PID: 42, Parent: 1, Group: 40, State: 'S', Start: 98765}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (x) S 1 40 40 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 98765 10 0"))
	f.Add([]byte("1 () Z"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parseStat(b); err == nil && p.State == 0 {
			t.Errorf("%q was read as %+v", b, p)
		}
	})
}
