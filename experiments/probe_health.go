package experiments

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// HealthProbes asks a health endpoint of one replica far more often than a
// platform would, each time on a connection of its own, so that what a probe
// costs the dependencies can be seen: a check that asks them each time does so
// as often.
type HealthProbes struct {
	// Endpoint is readiness (default) or liveness.
	Endpoint string `yaml:"endpoint" json:"endpoint,omitempty"`
	// Rate is in probes a second. Default 100.
	Rate float64 `yaml:"rate" json:"rate,omitempty"`
}

var _ = registerAction(ClassProbe, "health_probes", func() Action {
	return &HealthProbes{Endpoint: journal.Readiness, Rate: 100}
})

// String is the probe in one line.
func (h *HealthProbes) String() string {
	return fmt.Sprintf("ask %s %g times a second", h.Endpoint, h.Rate)
}

// Validate says what is wrong with the parameters.
func (h *HealthProbes) Validate() error {
	if h.Endpoint != journal.Readiness && h.Endpoint != journal.Liveness {
		return fmt.Errorf("health_probes: endpoint must be %s or %s, not %q", journal.Readiness, journal.Liveness, h.Endpoint)
	}
	if h.Rate <= 0 || h.Rate > 1000 {
		return fmt.Errorf("health_probes: rate must be above 0 and at most 1000 a second")
	}
	return nil
}

// Supports takes one replica of a service that has the endpoint.
func (h *HealthProbes) Supports(s *subject.Subject, target string) error {
	if err := h.Validate(); err != nil {
		return err
	}
	if h.endpoint(s).Path == "" {
		return fmt.Errorf("%s has no %s endpoint; name it as service.%s", s.Name, h.Endpoint, h.Endpoint)
	}
	return onReplica(s, target)
}

func (h *HealthProbes) endpoint(s *subject.Subject) subject.Endpoint {
	if h.Endpoint == journal.Liveness {
		return s.Service.Liveness
	}
	return s.Service.Readiness
}

// QuantityProbes is the name under which health_probes records how many answers
// of an endpoint it got.
func QuantityProbes(endpoint string) string { return endpoint + "_probes" }

// Start begins to ask; stop ends that and records how many answers there were,
// as a measured quantity of the step (readiness_probes, liveness_probes).
func (h *HealthProbes) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	rep, err := replica(x, x.Target)
	if err != nil {
		return nil, err
	}
	e := h.endpoint(x.Plan.Subject)
	a := &asker{
		url: rep.Endpoint(e.Port) + e.Path,
		http: &http.Client{Timeout: time.Second, Transport: &http.Transport{
			DialContext: (&net.Dialer{KeepAlive: -1}).DialContext, DisableKeepAlives: true,
		}},
	}
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	asking.Go(func() { a.ask(ctx, time.Duration(float64(time.Second)/h.Rate)) })
	return func(context.Context) error {
		cancel()
		asking.Wait()
		x.Recorder.Record(journal.Entry{On: x.Step, Body: journal.Measured{Quantity: journal.Quantity{
			Name: QuantityProbes(h.Endpoint), Value: float64(a.answers), Unit: "1",
		}}})
		return nil
	}, nil
}

// Witness asks for answers.
func (h *HealthProbes) Witness(j journal.Journal, _ string, w journal.Window) error {
	for e, q := range journal.Of[journal.Measured](j) {
		if q.Name == QuantityProbes(h.Endpoint) && q.Value > 0 && e.At >= w.From {
			return nil
		}
	}
	return fmt.Errorf("%w: no probe of %s was answered", faults.ErrNotInForce, h.Endpoint)
}

// askersAtOnce bounds how many probes are under way.
const askersAtOnce = 64

// asker asks one URL again and again.
type asker struct {
	url  string
	http *http.Client

	mu      sync.Mutex
	answers int
}

// ask asks at an interval until the context ends, and waits for the last.
func (a *asker) ask(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	places := make(chan struct{}, askersAtOnce)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case places <- struct{}{}:
			asking.Go(func() {
				defer func() { <-places }()
				if a.once(ctx) == nil {
					a.mu.Lock()
					defer a.mu.Unlock()
					a.answers++
				}
			})
		default: // the others have not been answered yet
		}
	}
}

func (a *asker) once(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "seatrial-probe")
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}
