package watcher

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	others, err := foreign(ctx)
	return append(others, found...), err
}

// reap looks again after it has removed something: what was killed may have
// been about to start something else. Where not all could be looked at, what was
// found is removed all the same.
func reap(ctx context.Context, parent string) ([]Leftover, error) {
	var all []Leftover
	makers := map[int]uint64{}
	for range 10 {
		found, unseen := find(ctx, parent)
		for _, l := range found {
			if !slices.Contains(all, l) {
				all = append(all, l)
			}
		}
		if err := joined(unseen, reapAll(ctx, found, makers)); err != nil || len(found) == 0 {
			return all, joined(err, removeSegments(ctx, makers))
		}
	}
	return all, errors.New("reap: something starts anew as often as it is killed")
}

// reapAll removes what was found, and notes which processes may have made
// shared memory.
func reapAll(ctx context.Context, found []Leftover, makers map[int]uint64) error {
	var errs []error
	for _, l := range found {
		if l.cleaner != "" {
			errs = append(errs, cleaners[l.cleaner].Clear(ctx, l.Scratch))
		}
		if l.PID != 0 {
			makers[l.PID] = 0
			errs = append(errs, procs.Kill(l.PID))
		}
	}
	for _, l := range found {
		if l.PID == 0 && l.cleaner == "" {
			for _, pid := range postmasters(l.Scratch) {
				makers[pid] = 0
			}
			errs = append(errs, remove(l.Scratch))
		}
	}
	return errors.Join(errs...)
}

// postmasters are the pids of the PostgreSQL servers whose data lies in a
// scratch folder, as they have noted them.
func postmasters(scratch string) []int {
	var pids []int
	for _, depth := range []string{"*", filepath.Join("*", "*"), filepath.Join("*", "*", "*")} {
		files, err := filepath.Glob(filepath.Join(scratch, depth, "postmaster.pid"))
		if err != nil {
			continue
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			line, _, _ := strings.Cut(string(b), "\n")
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 1 {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// removeSegments removes the shared memory that nobody uses any more and that
// one of these processes made, once they have ended.
func removeSegments(ctx context.Context, makers map[int]uint64) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for pid := range makers {
		for procs.Alive(pid, 0) && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
		if procs.Alive(pid, 0) {
			delete(makers, pid) // another process has this pid now, or still
		}
	}
	var err error
	for _, id := range segmentsOf(makers) {
		err = joined(err, removeShm(id))
	}
	return err
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
