package observe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Scrape reads a replica's metrics in Prometheus' text format and records what
// has changed. Samples that are not finite numbers are left out: they carry no
// information and have no form in JSON.
type Scrape struct {
	Replica string
	// URL is asked for before each scrape; an empty one means that there is
	// nothing to be asked now.
	URL func() string
	// Every is the interval. Zero means 500 ms.
	Every time.Duration
	// Timeout bounds one scrape. Zero means 2 s.
	Timeout time.Duration
}

// scrapeBytes bounds the answer of a metrics endpoint.
const scrapeBytes = 16 << 20

// Observe scrapes until the context ends.
func (s *Scrape) Observe(ctx context.Context, rec journal.Recorder) error {
	client := newClient(or(s.Timeout, 2*time.Second))
	var last journal.Metrics
	each(ctx, or(s.Every, 500*time.Millisecond), func() {
		url := s.URL()
		if url == "" {
			return
		}
		at := rec.Now()
		samples, err := client.scrape(ctx, url)
		if ended(ctx) {
			return
		}
		body := journal.Scrape{Took: rec.Now().Sub(at)}
		if err != nil {
			body.Err = scrapeError(err)
		} else {
			now := journal.NewMetrics(at, samples)
			body.Changed, body.Fresh = now.ChangedSince(last)
			body.Series = now.Len()
			last = now
		}
		rec.Record(journal.Entry{At: at, On: s.Replica, Body: body})
	})
	return nil
}

// badScrape is an answer that holds no metrics; its text is recorded.
type badScrape string

func (b badScrape) Error() string { return string(b) }

func scrapeError(err error) string {
	if bad, ok := err.(badScrape); ok { //nolint:errorlint // it is never wrapped
		return string(bad)
	}
	return journal.Reason(err)
}

// scrape asks for metrics and reads them all.
func (c *client) scrape(ctx context.Context, url string) ([]journal.Sample, error) {
	resp, err := c.get(ctx, url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, badScrape(fmt.Sprintf("answered %d", resp.StatusCode))
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, scrapeBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > scrapeBytes {
		return nil, badScrape(fmt.Sprintf("answered more than %d MB", scrapeBytes>>20))
	}
	return parse(text)
}

// parse reads Prometheus' text format.
func parse(text []byte) ([]journal.Sample, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, badScrape("no metrics in the text format: " + err.Error())
	}
	var samples []journal.Sample
	for _, f := range families {
		typ := strings.ToLower(f.GetType().String())
		if typ == untyped {
			typ = shapeOf(f.GetName(), families)
		}
		for _, m := range f.GetMetric() {
			flatten(f.GetName(), m, func(name string, value float64, extra ...string) {
				if math.IsNaN(value) || math.IsInf(value, 0) {
					return
				}
				samples = append(samples, journal.Sample{
					Name: name, Labels: labels(m, extra), Type: typ, Value: value,
				})
			})
		}
	}
	return samples, nil
}

const untyped = "untyped"

// shapeOf is the type that a family without one has by its shape: some libraries
// write no TYPE lines. A counter's name ends in _total; a histogram is told by
// its buckets, and what has a sum and a count is a summary.
func shapeOf(name string, families map[string]*dto.MetricFamily) string {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		of, ok := strings.CutSuffix(name, suffix)
		switch {
		case !ok:
		case families[of+"_bucket"] != nil && families[of+"_count"] != nil:
			return "histogram"
		case families[of+"_sum"] != nil && families[of+"_count"] != nil:
			return "summary"
		}
	}
	if strings.HasSuffix(name, "_total") {
		return "counter"
	}
	return untyped
}

// flatten gives every number of a metric the name it has in the text format.
func flatten(name string, m *dto.Metric, add func(name string, value float64, extra ...string)) {
	switch {
	case m.Counter != nil:
		add(name, m.Counter.GetValue())
	case m.Gauge != nil:
		add(name, m.Gauge.GetValue())
	case m.Untyped != nil:
		add(name, m.Untyped.GetValue())
	case m.Histogram != nil:
		for _, b := range m.Histogram.GetBucket() {
			add(name+"_bucket", float64(b.GetCumulativeCount()), "le", float(b.GetUpperBound()))
		}
		add(name+"_sum", m.Histogram.GetSampleSum())
		add(name+"_count", float64(m.Histogram.GetSampleCount()))
	case m.Summary != nil:
		for _, q := range m.Summary.GetQuantile() {
			add(name, q.GetValue(), "quantile", float(q.GetQuantile()))
		}
		add(name+"_sum", m.Summary.GetSampleSum())
		add(name+"_count", float64(m.Summary.GetSampleCount()))
	}
}

func float(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func labels(m *dto.Metric, extra []string) map[string]string {
	if len(m.GetLabel())+len(extra) == 0 {
		return nil
	}
	all := make(map[string]string, len(m.GetLabel())+1)
	for _, l := range m.GetLabel() {
		all[l.GetName()] = l.GetValue()
	}
	for i := 0; i+1 < len(extra); i += 2 {
		all[extra[i]] = extra[i+1]
	}
	return all
}
