package trial

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
)

func TestAFullDiskIsToldInOneSentence(t *testing.T) {
	write := func(file string, err error) error {
		return fmt.Errorf("run quick: write the journal: %w", &fs.PathError{Op: "write", Path: file, Err: err})
	}
	other := errors.Join(write("runs/t/a", syscall.EIO), errors.New("b"))
	for _, c := range []struct {
		err  error
		want string
	}{
		{write("runs/t/a", syscall.ENOSPC), "the disk is full: write runs/t/a: no space left on device; " +
			"free some of it, or name a folder on another one with --out"},
		{errors.Join(write("runs/t/a", syscall.ENOSPC), write("b", syscall.ENOSPC)), "the disk is full: write runs/t/a: " +
			"no space left on device; free some of it, or name a folder on another one with --out"},
		{write("/tmp/x", syscall.EDQUOT), "the disk is full: write /tmp/x: disk quota exceeded; " +
			"free some of it, or set TMPDIR to a folder on another one"},
		{other, other.Error()},
	} {
		got := told(c.err, "runs/t")
		if got.Error() != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		if !errors.Is(got, c.err) {
			t.Errorf("%q does not wrap its cause", got)
		}
	}
	if told(nil, "runs/t") != nil {
		t.Error("no error became one")
	}
}
