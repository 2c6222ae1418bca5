package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Follower reads a journal that is still being recorded. It goes on each time
// where it stopped and keeps the entries that it has read, so that asking often
// costs no more than reading once. Make one with [Follow]; it is safe for use by
// several goroutines.
type Follower struct {
	mu     sync.Mutex
	saved  Saved
	offset int64 // of the first entry that has not been read
}

// Follow follows the journal that is being recorded in a folder.
func Follow(dir string) *Follower { return &Follower{saved: Saved{dir: dir}} }

// Head is the journal as far as it has been recorded by now. The error is one of
// reading.
func (f *Follower) Head() (Head, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Requests first: the names that they refer to are written before them.
	requests, err := f.saved.recordedRequests()
	if err == nil {
		err = f.goOn()
	}
	if err != nil {
		return Head{}, err
	}
	saved := f.saved // its entries and names are only added to
	return Head{Of: &saved, Extent: Extent{Entries: len(saved.entries), Requests: requests}}, nil
}

// goOn reads the entries that were written since the last time.
func (f *Follower) goOn() error {
	file, err := os.Open(filepath.Join(f.saved.dir, EntriesFile))
	if err != nil {
		return fmt.Errorf("journal %s: %w", f.saved.dir, err)
	}
	defer file.Close()
	if _, err := file.Seek(f.offset, io.SeekStart); err != nil {
		return fmt.Errorf("journal %s: %s: %w", f.saved.dir, EntriesFile, err)
	}
	size, err := f.saved.read(file)
	f.offset += size
	if err != nil {
		return fmt.Errorf("journal %s: %s: %w", f.saved.dir, EntriesFile, err)
	}
	return nil
}

// recordedRequests is how many requests the folder holds.
func (s *Saved) recordedRequests() (int, error) {
	info, err := os.Stat(filepath.Join(s.dir, RequestsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("journal %s: %w", s.dir, err)
	}
	return int(max(0, info.Size()-binaryHead) / binaryRecord), nil
}
