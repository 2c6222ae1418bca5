package docker

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// asked is an engine that does at once what it is asked for.
type asked func(*http.Request) int

func (f asked) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: f(r), Body: http.NoBody, Request: r}, nil
}

// running is a run of a container on an engine that answers with these codes.
func running(t *testing.T, engineSays func(*http.Request) int) *run {
	t.Helper()
	c, err := client.New(client.WithHost("tcp://127.0.0.1:1"), client.WithAPIVersion("1.44"),
		client.WithHTTPClient(&http.Client{Transport: asked(engineSays)}))
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{client: &testcontainers.DockerClient{Client: c}}
	return &run{box: &box{engine: e, id: "0123456789abcdef"}, done: make(chan struct{})}
}

// TestKill asks that a kill without an end is never told as done.
func TestKill(t *testing.T) {
	done := func(*http.Request) int { return http.StatusNoContent }
	refused := func(*http.Request) int { return http.StatusInternalServerError }
	gone := func(*http.Request) int { return http.StatusNotFound }
	interrupted := errors.New("interrupted by the user")
	for name, tt := range map[string]struct {
		engineSays func(*http.Request) int
		endsAfter  time.Duration // zero: never
		givenUp    time.Duration // zero: never
		want       string
	}{
		"ended":               {done, time.Second, 0, ""},
		"gone before":         {gone, time.Second, 0, ""},
		"refused":             {refused, 0, 0, "send SIGKILL to container 0123456789ab"},
		"no end":              {done, 0, 0, "was killed 30s ago, and the engine has not told of its end"},
		"gone, and no end":    {gone, 0, 0, "was killed 30s ago, and the engine has not told of its end"},
		"given up before":     {done, 0, time.Second, interrupted.Error()},
		"an end that is late": {done, time.Minute, 0, "was killed 30s ago"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := running(t, tt.engineSays)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tt.givenUp > 0 {
					defer time.AfterFunc(tt.givenUp, func() { cancel(interrupted) }).Stop()
				}
				if tt.endsAfter > 0 {
					defer time.AfterFunc(tt.endsAfter, func() { close(r.done) }).Stop()
				}
				err := r.Kill(ctx)
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
			})
		})
	}
}
