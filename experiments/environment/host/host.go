// Package host is what all environments of a backend share on this machine: the
// watcher, which is started before everything else, the thread that starts
// processes, and the scratch folder.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/environment/watcher"
)

// Host is a watcher and a spawner at work. The zero value opens them when they
// are first asked for.
type Host struct {
	mu      sync.Mutex
	watcher *watcher.Watcher
	spawner *spawn.Spawner
	serial  int
	closed  bool
}

var errClosed = errors.New("the environment's backend has been closed")

// Open starts the watcher and the spawner where they are not there yet.
func (h *Host) Open(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errClosed
	}
	if h.watcher != nil {
		return nil
	}
	w, err := watcher.Start(ctx, "")
	if err != nil {
		return err
	}
	h.watcher, h.spawner = w, spawn.New(w)
	return nil
}

// Watcher is the watcher, once the host is open.
func (h *Host) Watcher() *watcher.Watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.watcher
}

// Spawner starts processes, once the host is open.
func (h *Host) Spawner() *spawn.Spawner {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.spawner
}

// Folder makes a new folder below the scratch folder, and opens the host for it.
func (h *Host) Folder(ctx context.Context, name string) (string, error) {
	if err := h.Open(ctx); err != nil {
		return "", err
	}
	h.mu.Lock()
	h.serial++
	dir := filepath.Join(h.watcher.Scratch(), name+strconv.Itoa(h.serial))
	h.mu.Unlock()
	if err := os.Mkdir(dir, 0o711); err != nil { //nolint:gosec // servers run as another user pass through it
		return "", fmt.Errorf("make a scratch folder: %w", err)
	}
	return dir, nil
}

// Close ends the watcher, which kills what is left and removes the scratch
// folder. It is safe to call twice.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.watcher == nil {
		return nil
	}
	err := h.watcher.Close()
	h.spawner.Close()
	h.watcher, h.spawner = nil, nil
	return err
}
