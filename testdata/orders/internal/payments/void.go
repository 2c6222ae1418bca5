package payments

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// Void has every charge under the key declined from now on, and gives back one
// that was made. A key that was never charged is none the worse for it.
func (c *Client) Void(ctx context.Context, key string) error {
	got, err := c.call(ctx, request{
		operation: "void",
		method:    http.MethodDelete, // so that it may be repeated
		path:      "/charges/" + url.PathEscape(key),
	})
	if err != nil {
		return fmt.Errorf("void: %w", err)
	}
	if got.status/100 != 2 {
		return fmt.Errorf("void: %w: status %d", ErrUnavailable, got.status)
	}
	return nil
}
