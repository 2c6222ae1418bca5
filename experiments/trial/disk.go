package trial

import (
	"errors"
	"io/fs"
	"syscall"
)

// diskFull is the error of a write that found no room.
type diskFull struct {
	err   error
	cause string
}

func (d *diskFull) Error() string {
	return "the disk is full: " + d.cause + "; free some of it, or name a folder on another one with --out"
}

func (d *diskFull) Unwrap() error { return d.err }

// told is the error in one sentence where a full disk is its cause, however
// many writes failed of it, and otherwise the error itself.
func told(err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	d := &diskFull{err: err, cause: "no space left"}
	var path *fs.PathError
	if errors.As(err, &path) {
		d.cause = path.Error()
	}
	return d
}
