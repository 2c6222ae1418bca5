package trial

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
)

// diskFull is the error of a write that found no room.
type diskFull struct {
	err           error
	cause, remedy string
}

func (d *diskFull) Error() string {
	return "the disk is full: " + d.cause + "; free some of it, or " + d.remedy
}

func (d *diskFull) Unwrap() error { return d.err }

// told is the error in one sentence where a full disk is its cause, however
// many writes failed of it, and otherwise the error itself. What is not written
// into the trial's folder is written into one for temporary files.
func told(err error, trial string) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	d := &diskFull{err: err, cause: "no space left", remedy: "set TMPDIR to a folder on another one"}
	var path *fs.PathError
	if errors.As(err, &path) {
		d.cause = path.Error()
		if strings.HasPrefix(path.Path, trial) {
			d.remedy = "name a folder on another one with --out"
		}
	}
	return d
}
