package detect

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Latency judges a quantile of the answers' latency, counted from the instant a
// request was due. It is violated only if even the latency from the actual
// sending is too long, so that no hit which the generator sent late can decide,
// and holds only if the one from the due instant is not (detectors.md section 1).
type Latency struct {
	// Quantile is what is held against the bound: p50, p95, p99.9 or max.
	// Default p99.
	Quantile string `yaml:"quantile" json:"quantile,omitempty"`
	// Within is the bound. Zero: the promise slo_latency.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
	// During is the window: fault (default), steady, method, after, again, all
	// or a step's name.
	During string `yaml:"during" json:"during,omitempty"`
	// Routes restricts the judgement to these requests of the traffic. Empty:
	// all.
	Routes []string `yaml:"routes" json:"routes,omitempty"`
	// Attack restricts it to one attack's hits: a step's name, or any. Empty:
	// the ordinary load.
	Attack string `yaml:"attack" json:"attack,omitempty"`
	// Of is success (default: good answers only), answers (of any status) or
	// all (also requests without an answer, with the time until they ended).
	Of string `yaml:"of" json:"of,omitempty"`
	// MinSamples is how many are needed. Default: as many as put one above the
	// quantile (100 for p99), and at least 20.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "latency", Class: Rate,
	Summary: "a quantile of the latency is as promised",
}, func() Detector { return &Latency{Quantile: "p99", Of: "success"} })

// lagShare is the generator's lag that is borne, as a share of the SLO.
const lagShare = 0.10

// Validate says what is wrong with the parameters.
func (d *Latency) Validate() error {
	switch d.Of {
	case "", "success", "answers", "all":
	default:
		return fmt.Errorf("of: %q is none of success, answers, all", d.Of)
	}
	_, err := parseQuantile(d.Quantile)
	return err
}

// parseQuantile reads p50, p99.9 or max; empty is p99.
func parseQuantile(text string) (float64, error) {
	switch text {
	case "":
		return 0.99, nil
	case "max":
		return 1, nil
	}
	digits, ok := strings.CutPrefix(text, "p")
	q, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(q > 0 && q <= 100) {
		return 0, fmt.Errorf("quantile: %q is not like p50, p95, p99.9 or max", text)
	}
	return q / 100, nil
}

// samplesFor is how many samples a quantile needs: as many as put one above it,
// and at least 20.
func samplesFor(q float64) int {
	if q == 1 {
		return 20
	}
	return int(max(20, math.Round(1/(1-q))))
}

// Detect judges the journal.
func (d *Latency) Detect(j journal.Journal) Finding {
	f := finding("latency")
	if err := d.Validate(); err != nil {
		return f.unknown("the latency cannot be judged: %v", err)
	}
	q, _ := parseQuantile(d.Quantile)
	s, err := resolve(j, d.During, DuringFault)
	if err != nil {
		return f.unknown("the latency is not known: %v", err)
	}
	within := d.Within
	if within == 0 {
		within = j.Header().Promises.SLOLatency
	}
	if within <= 0 {
		return f.unknown("there is no bound to hold the latency against: neither within nor slo_latency is stated")
	}
	m := d.measure(j, s, q)
	f.Quantities, f.Evidence = m.quantities(within), m.evidence
	return m.judge(f, s, within, d.need(q))
}

func (d *Latency) need(q float64) int {
	if d.MinSamples > 0 {
		return d.MinSamples
	}
	return samplesFor(q)
}

// latencyMeasure is what was measured in a span.
type latencyMeasure struct {
	q                 float64
	name              string // p99
	of                string
	corrected, raw    latencies
	lag               latencies
	lagBound          time.Duration
	dropped, counted  int
	evidence          []Evidence // the worst one
	quantileC, quantR time.Duration
}

func (d *Latency) measure(j journal.Journal, s span, q float64) latencyMeasure {
	h := j.Header()
	m := latencyMeasure{
		q: q, name: d.Quantile, of: d.Of,
		corrected: newLatencies(), raw: newLatencies(), lag: newLatencies(),
		lagBound: time.Duration(lagShare * float64(h.Promises.SLOLatency)),
	}
	if m.name == "" {
		m.name = "p99"
	}
	var worst journal.Request
	for r := range hits(j, s, d.Attack, d.Routes) {
		if r.Dropped {
			m.dropped++
			continue
		}
		m.lag.add(r.Lag())
		if !d.counts(r) {
			continue
		}
		m.corrected.add(r.Latency())
		m.raw.add(r.RawLatency())
		if m.counted++; m.counted == 1 || r.Latency() > worst.Latency() {
			worst = r
		}
	}
	if m.counted > 0 {
		m.evidence = []Evidence{requestEvidence(h.Run, worst)}
	}
	m.quantileC, m.quantR = m.corrected.at(q), m.raw.at(q)
	return m
}

func (d *Latency) counts(r journal.Request) bool {
	switch d.Of {
	case "all":
		return true
	case "answers":
		return r.Code != 0
	}
	return r.OK
}

func (m latencyMeasure) quantities(within time.Duration) []journal.Quantity {
	sent := m.lag.count()
	return []journal.Quantity{
		boundedTime(m.name, m.quantileC, within, m.counted),
		measured(m.name+"_raw", m.quantR.Seconds(), "s", m.counted),
		measured("p50", m.corrected.at(0.5).Seconds(), "s", m.counted),
		boundedTime("lag_p99", m.lag.at(0.99), m.lagBound, sent),
		bounded("dropped_ratio", share(m.dropped, sent+m.dropped), "1", "<=", dropsBearable, sent+m.dropped),
	}
}

var latencyOf = map[string]string{
	"": "good answers", "success": "good answers", "answers": "answers", "all": "requests",
}

func (m latencyMeasure) judge(f Finding, s span, within time.Duration, need int) Finding {
	sent := m.lag.count()
	late := m.lag.at(0.99) > m.lagBound || share(m.dropped, sent+m.dropped) > dropsBearable
	what := latencyOf[m.of]
	said := say("promised: %s of %s within %v; seen in %v: %v of %d",
		m.name, what, within, s, brief(m.quantileC), m.counted)
	switch {
	case sent+m.dropped == 0:
		return f.unknown("no request was due in %v, so nothing is known about latency", s)
	case m.counted < need:
		return f.unknown("only %d %s in %v, and %d are needed for %s", m.counted, what, s, need, m.name)
	case late && m.quantR > within:
		return f.violated("%s, and even from the actual sending %v (the generator was late)", said, brief(m.quantR))
	case m.quantileC > within && m.quantR <= within:
		return f.unknown("%s, but the generator was late (lag p99 %v, %d of %d hits dropped), and from the actual "+
			"sending it was %v", said, brief(m.lag.at(0.99)), m.dropped, sent+m.dropped, brief(m.quantR))
	case share(m.dropped, sent+m.dropped) > dropsBearable:
		return f.unknown("%s, but %d of %d hits could not be sent: the load fell short of its plan",
			said, m.dropped, sent+m.dropped)
	case m.quantileC > within:
		return f.violated("%s", said)
	}
	return f.held("%s", said)
}
