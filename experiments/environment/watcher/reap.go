package watcher

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/seatrial/seatrial/experiments/environment/procs"
)

// Find looks for what trials have left behind whose seatrial is dead: marked
// processes, and scratch folders in the system's folder for temporary files.
func Find(ctx context.Context) ([]Leftover, error) { return find(ctx, tempDir()) }

// Reap removes what [Find] finds, and returns it. What could not be removed is
// in the error.
func Reap(ctx context.Context) ([]Leftover, error) { return reap(ctx, tempDir()) }

func find(ctx context.Context, parent string) ([]Leftover, error) {
	found, err := marked(func(scratch string, carried bool) bool {
		return abandoned(scratch) || carried && vanished(scratch)
	})
	if err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if _, err := os.Lstat(filepath.Join(dir, ownerFile)); err == nil && abandoned(dir) {
			found = append(found, Leftover{Scratch: dir})
		}
	}
	return found, nil
}

// reap looks again after it has removed something: what was killed may have
// been about to start something else.
func reap(ctx context.Context, parent string) ([]Leftover, error) {
	var all []Leftover
	for range 10 {
		found, err := find(ctx, parent)
		if err != nil {
			return all, err
		}
		var errs []error
		for _, l := range found {
			if !slices.Contains(all, l) {
				all = append(all, l)
			}
			if l.PID != 0 {
				errs = append(errs, procs.Kill(l.PID))
			}
		}
		for _, l := range found {
			if l.PID == 0 {
				errs = append(errs, remove(l.Scratch))
			}
		}
		if err := errors.Join(errs...); err != nil || len(found) == 0 {
			return all, err
		}
	}
	return all, errors.New("reap: something starts anew as often as it is killed")
}

// abandoned reports whether the seatrial that made a scratch folder is dead:
// nobody holds its lock. A folder without a lock file is not ours, whatever its
// name.
func abandoned(scratch string) bool {
	if !strings.HasPrefix(filepath.Base(scratch), prefix) || !filepath.IsAbs(scratch) {
		return false
	}
	path := filepath.Join(scratch, ownerFile)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryLock()
	if free {
		_ = lock.Unlock()
	}
	return free && err == nil && !young(info)
}

// vanished reports whether a scratch folder that a process carries as its mark
// is gone: with it went everything that says whose it was.
func vanished(scratch string) bool {
	if !strings.HasPrefix(filepath.Base(scratch), prefix) || !filepath.IsAbs(scratch) {
		return false
	}
	_, err := os.Lstat(scratch)
	return errors.Is(err, fs.ErrNotExist)
}

// young reports whether a lock file was made so lately that its lock may just
// be about to be taken.
func young(lock fs.FileInfo) bool { return time.Since(lock.ModTime()) < grace }

// grace is how long after it was made nobody else judges a folder.
var grace = 2 * time.Second
