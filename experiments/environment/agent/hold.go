package agent

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// holds are the listeners that accept nothing, by address.
type holds struct {
	mu   sync.Mutex
	held map[string]io.Closer
}

// hold opens one; it is no error when it is there already.
func (h *holds) hold(ctx context.Context, address string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[address] != nil {
		return nil
	}
	var c io.Closer
	err := again(ctx, func() (err error) {
		c, err = holdConnects(ctx, address)
		return err
	})
	if err != nil {
		return fmt.Errorf("hold connects to %s: %w", address, err)
	}
	if h.held == nil {
		h.held = map[string]io.Closer{}
	}
	h.held[address] = c
	return nil
}

func (h *holds) release(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.held[address]; c != nil {
		_ = c.Close() // the sockets are gone either way
		delete(h.held, address)
	}
}

func (h *holds) releaseAll() {
	for _, a := range sortedKeys(h.held) {
		h.release(a)
	}
}
