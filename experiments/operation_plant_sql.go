package experiments

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// PlantSQL sends the traffic's requests with one of a caller's values after the
// other replaced: every string of a JSON body (of a list the first element) or
// value of a form, every parameter of the query, the segments of the path that
// are templates, and the headers that a request names. In their place comes the
// run's canary, alone and with what would change a statement that it became a
// part of: a quote, ' OR '1'='1, '||pg_sleep(2)--, and two for columns and
// numbers, which have no quotes. The request as it is goes before each as a
// control; what takes 1.5 s longer than that is sent three times.
//
// One request is under way at a time, through the balancer. What is stored is
// not followed by the ledger.
type PlantSQL struct {
	// Uses restricts it to requests that use this dependency, by kind or name.
	Uses string `yaml:"uses" json:"uses,omitempty"`
	// Routes restricts it to these requests of the traffic. Empty: all of them
	// that have a weight.
	Routes []string `yaml:"routes" json:"routes,omitempty"`
	// Pause is the least time between an answer and the next request, so that
	// what the database was asked can be told apart. Default 10ms.
	Pause time.Duration `yaml:"pause" json:"pause,omitempty"`
}

var _ = registerAction(ClassOperation, "plant_sql", func() Action { return &PlantSQL{Pause: 10 * time.Millisecond} })

// String is the operation in one line.
func (*PlantSQL) String() string {
	return "send SQL in every value of the requests, one after the other"
}

// Supports takes the service as a whole.
func (p *PlantSQL) Supports(_ *subject.Subject, target string) error {
	if p.Pause < 0 {
		return fmt.Errorf("plant_sql: pause must not be negative")
	}
	return onService(target)
}

// Start begins; it returns at once.
func (p *PlantSQL) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	spec := PlantSQLSpec{Name: x.Step, Uses: p.Uses, Routes: p.Routes, Pause: p.Pause}
	return background(ctx, func(ctx context.Context) error { return x.Load.PlantSQL(ctx, spec) }), nil
}

// Witness asks for a request with a canary that was answered.
func (*PlantSQL) Witness(j journal.Journal, _ string, w journal.Window) error {
	return answered(j, w, "requests with a planted value", func(p journal.Planted) (sent, ok bool) {
		return p.Form != journal.PlantedControl, p.Code != 0
	})
}
