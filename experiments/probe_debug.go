package experiments

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// DebugEndpoints asks one replica, directly and on each of its ports, for what
// the Go libraries serve of a program's inside. Redirects are not followed.
type DebugEndpoints struct {
	// Paths are asked for. Default /debug/pprof/, /debug/pprof/heap?debug=1,
	// /debug/pprof/goroutine?debug=1 and /debug/vars.
	Paths []string `yaml:"paths" json:"paths,omitempty"`
}

var _ = registerAction(ClassProbe, "debug_endpoints", func() Action {
	return &DebugEndpoints{Paths: []string{
		"/debug/pprof/", "/debug/pprof/heap?debug=1", "/debug/pprof/goroutine?debug=1", "/debug/vars",
	}}
})

// debugWithin bounds one question.
const debugWithin = 3 * time.Second

// String is the probe in one line.
func (d *DebugEndpoints) String() string {
	return fmt.Sprintf("ask every port for %d debug endpoints", len(d.Paths))
}

// Validate says what is wrong with the parameters.
func (d *DebugEndpoints) Validate() error {
	for _, p := range d.Paths {
		if len(p) == 0 || p[0] != '/' {
			return fmt.Errorf("debug_endpoints: the path %q does not begin with /", p)
		}
	}
	if len(d.Paths) == 0 {
		return fmt.Errorf("debug_endpoints: there is no path to ask for")
	}
	return nil
}

// Supports takes one replica.
func (d *DebugEndpoints) Supports(s *subject.Subject, target string) error {
	if err := d.Validate(); err != nil {
		return err
	}
	return onReplica(s, target)
}

// Start asks, and records [journal.Answer] for each question.
func (d *DebugEndpoints) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	rep, err := replica(x, x.Target)
	if err != nil {
		return nil, err
	}
	ports := slices.Sorted(maps.Keys(x.Plan.Subject.Service.Ports))
	public := orString(x.Plan.Subject.Traffic.Port, "http")
	return background(ctx, func(ctx context.Context) error {
		for _, port := range ports {
			for _, path := range d.Paths {
				a := ask(ctx, rep, port, path)
				a.Public = port == public
				x.Recorder.Record(journal.Entry{On: rep.Name(), Body: a})
			}
		}
		return nil
	}), nil
}

func orString(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func ask(ctx context.Context, rep environment.Replica, port, path string) journal.Answer {
	a := journal.Answer{Port: port, Path: path}
	ctx, cancel := context.WithTimeout(ctx, debugWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rep.Endpoint(port)+path, nil)
	if err != nil {
		a.Err = err.Error()
		return a
	}
	req.Close = true
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		a.Err = journal.Reason(err)
		return a
	}
	defer resp.Body.Close()
	n, _ := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // what there is of it
	a.Code, a.Location, a.Bytes = resp.StatusCode, resp.Header.Get("Location"), int(n)
	return a
}

// Witness wants answers.
func (d *DebugEndpoints) Witness(j journal.Journal, target string, _ journal.Window) error {
	for e, a := range journal.Of[journal.Answer](j) {
		if e.On == target && a.Code != 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: %s answered no question for a debug endpoint", faults.ErrNotInForce, target)
}
