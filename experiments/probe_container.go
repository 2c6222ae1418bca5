package experiments

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
	"github.com/seatrial/seatrial/loadgen"
)

// Container reads the service's image, layer by layer, and starts one more
// replica of it, which gets no traffic, with a root that cannot be written,
// without capabilities and without a way to new ones; when it is ready it is
// told to stop. Two more have stubs in the place of their http dependencies that
// speak TLS, by certificates of an authority that is added to those of the image
// and of one that nobody knows; they are sent requests of the traffic that need
// these dependencies. It is for the docker environment.
type Container struct{}

var _ = registerAction(ClassProbe, "container", func() Action { return &Container{} })

// String is the probe in one line.
func (*Container) String() string {
	return "read the image, run more replicas: one confined, two with dependencies that speak TLS"
}

// Supports takes the service as a whole, in containers.
func (*Container) Supports(s *subject.Subject, target string) error {
	if s.Environment != "docker" {
		return errors.New("container: there are containers only with environment: docker")
	}
	return onService(target)
}

// Start does so and records [journal.Image], [journal.Confined] and
// [journal.Trust].
func (c *Container) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	e, ok := x.Environment.(environment.Contained)
	if !ok {
		return nil, errors.New("container: this environment has no containers")
	}
	service := x.Plan.Subject.Name
	return background(ctx, func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error {
			image, err := e.Image(ctx)
			if err != nil {
				image.Err = err.Error()
			}
			x.Recorder.Record(journal.Entry{On: service, Body: image})
			return nil
		})
		group.Go(func() error {
			confined, err := e.Confine(ctx)
			if err != nil {
				return fmt.Errorf("container: %w", err)
			}
			x.Recorder.Record(journal.Entry{On: service, Body: confined})
			return nil
		})
		for _, known := range []bool{true, false} {
			group.Go(func() error { return c.trust(ctx, x, e, known) })
		}
		return group.Wait()
	}), nil
}

// trust has a replica ask its http dependencies by TLS.
func (*Container) trust(ctx context.Context, x *Execution, e environment.Contained, known bool) error {
	asked := map[string]int{}
	found, err := e.Trust(ctx, known, func(ctx context.Context, endpoint func(string) string) {
		asked = askTrusting(ctx, x, endpoint(orString(x.Plan.Subject.Traffic.Port, "http")))
	})
	if err != nil {
		return fmt.Errorf("container: %w", err)
	}
	for _, d := range x.Plan.Subject.Dependencies {
		if t, ok := found[d.Name]; ok {
			t.Asked = asked[d.Name]
			x.Recorder.Record(journal.Entry{On: d.Name, Body: t})
		}
	}
	return nil
}

const (
	trustAsks   = 3 // of each request
	trustWithin = 5 * time.Second
)

// askTrusting sends a replica the requests of the traffic that need an http
// dependency and nothing of earlier answers; by dependency, it returns how many.
func askTrusting(ctx context.Context, x *Execution, base string) map[string]int {
	asked := map[string]int{}
	for _, d := range x.Plan.Subject.Dependencies {
		if d.Kind != subject.HTTP {
			continue
		}
		for _, r := range x.Plan.Subject.Traffic.Requests {
			if !slices.Contains(r.Uses, d.Name) || r.Write != nil {
				continue
			}
			for seq := range uint64(trustAsks) {
				t, err := x.Load.Target(r.Name, x.Step, seq)
				if err == nil && t.Route == r.Name && askOnce(ctx, base, t) {
					asked[d.Name]++
				}
			}
		}
	}
	return asked
}

// askOnce sends one request, and reports whether it was answered at all.
func askOnce(ctx context.Context, base string, t loadgen.Target) bool {
	ctx, cancel := context.WithTimeout(ctx, trustWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, t.Method, base+t.Path, strings.NewReader(t.Body))
	if err != nil {
		return false
	}
	req.Header, req.Close = t.Header.Clone(), true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close()) == nil
}

// Witness wants to have seen the image and the confined replica.
func (*Container) Witness(j journal.Journal, _ string, _ journal.Window) error {
	for range journal.Of[journal.Image](j) {
		for range journal.Of[journal.Confined](j) {
			return nil
		}
	}
	return fmt.Errorf("%w: nobody looked at the container", faults.ErrNotInForce)
}
