package observe

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Poll asks one health endpoint of a replica again and again, directly.
//
// Each poll opens a connection of its own, as the kubelet does, so that an
// answer also shows that the replica still accepts connections, and so that no
// idle connection of ours is there for a draining server to wait for. That
// costs both sides about a tenth of a millisecond. A poll that hangs does not
// hold the next one up.
type Poll struct {
	Replica  string
	Endpoint string // journal.Readiness, journal.Liveness or journal.Startup
	// URL is asked for before each poll, since a restart may change it; an
	// empty one means that there is nothing to be asked now.
	URL func() string
	// Every is the interval. Zero means 50 ms, 100 ms for liveness.
	Every time.Duration
	// Timeout bounds one poll. Zero means 1 s, as Kubernetes does.
	Timeout time.Duration
}

// pollsAtOnce is how many polls may be under way: those of one timeout.
const pollsAtOnce = 24

// Observe polls until the context ends.
func (p *Poll) Observe(ctx context.Context, rec journal.Recorder) error {
	standard := 50 * time.Millisecond
	if p.Endpoint == journal.Liveness {
		standard = 100 * time.Millisecond
	}
	client := newClient(or(p.Timeout, time.Second))
	overlapping(ctx, or(p.Every, standard), pollsAtOnce, func() {
		url := p.URL()
		if url == "" {
			return
		}
		at := rec.Now()
		code, err := client.status(ctx, url)
		if ended(ctx) {
			return // it was we who ended it
		}
		rec.Record(journal.Entry{At: at, On: p.Replica, Body: journal.Poll{
			Endpoint: p.Endpoint, Code: code, Took: rec.Now().Sub(at), Err: journal.Reason(err),
		}})
	})
	return nil
}

// client asks replicas, each time on a connection of its own.
type client struct {
	http.Client
}

func newClient(timeout time.Duration) *client {
	return &client{http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext:        (&net.Dialer{KeepAlive: -1}).DialContext,
			DisableKeepAlives:  true,
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// get asks for a URL. The caller closes the answer's body.
func (c *client) get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "seatrial")
	return c.Do(req)
}

// healthBytes bounds how much of a health endpoint's answer is read.
const healthBytes = 64 << 10

// status asks for a URL and reads the answer; zero when there was none.
func (c *client) status(ctx context.Context, url string) (int, error) {
	resp, err := c.get(ctx, url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, healthBytes)); err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}
