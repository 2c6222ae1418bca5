//go:build !linux

package agent

import (
	"context"
	"errors"
	"io"
)

// holdConnects needs Linux: other systems answer connects past a full backlog
// differently.
func holdConnects(context.Context, string) (io.Closer, error) {
	return nil, errors.New("a full accept backlog needs Linux; use blackhole or outage on this system")
}
