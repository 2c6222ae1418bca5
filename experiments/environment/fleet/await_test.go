package fleet

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestAwait(t *testing.T) {
	for name, tt := range map[string]struct {
		answers, ends time.Duration // after the start
		took          time.Duration
		says          string
	}{
		"at once": {0, time.Hour, 0, ""},
		"late":    {2 * time.Second, time.Hour, 2 * time.Second, ""},
		"too late": {
			time.Minute, time.Hour, 10 * time.Second, "it does not answer after 10s: not yet",
		},
		"it ends": {time.Minute, 3 * time.Second, 3 * time.Second, "it exited with status 0"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &deaf{done: make(chan struct{})}
				began := time.Now()
				time.AfterFunc(tt.ends, func() { close(p.done) })
				err := Await(t.Context(), p, "it", 10*time.Second, time.Second, func(context.Context) error {
					if time.Since(began) < tt.answers {
						return errors.New("not yet")
					}
					return nil
				})
				if took := time.Since(began); took != tt.took || (err == nil) != (tt.says == "") {
					t.Errorf("after %v: %v", took, err)
				}
				if err != nil && err.Error() != tt.says {
					t.Errorf("got %q, want %q", err, tt.says)
				}
			})
		})
	}
}
