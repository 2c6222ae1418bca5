package detect

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// told is one replica's endpoint, which a test fills in as time goes by.
type told struct {
	m     *made
	state map[string]journal.Sample
}

// telling is a service of one replica with metrics.
func telling(m *made) *told {
	m.header.Replicas = m.header.Replicas[:1]
	return &told{m: m, state: map[string]journal.Sample{}}
}

func (x *told) add(name, kind string, by float64, labels ...string) {
	s := series(name, kind, by, labels...)
	s.Value += x.state[s.Key()].Value
	x.state[s.Key()] = s
}

func (x *told) set(name, kind string, to float64, labels ...string) {
	s := series(name, kind, to, labels...)
	x.state[s.Key()] = s
}

// observe counts durations in a histogram with bounds in seconds.
func (x *told) observe(name string, took float64, n int, bounds []float64, labels ...string) {
	x.add(name+"_sum", "histogram", took*float64(n), labels...)
	x.add(name+"_count", "histogram", float64(n), labels...)
	for _, le := range bounds {
		if took <= le {
			x.add(name+"_bucket", "histogram", float64(n), append(slices.Clone(labels), "le", float(le))...)
		} else {
			x.add(name+"_bucket", "histogram", 0, append(slices.Clone(labels), "le", float(le))...)
		}
	}
	x.add(name+"_bucket", "histogram", float64(n), append(slices.Clone(labels), "le", "+Inf")...)
}

func float(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// scrape records what the endpoint says now; what an edit leaves out is not
// there.
func (x *told) scrape(at float64, edit func(*journal.Sample)) {
	var all []journal.Sample
	for _, key := range slices.Sorted(maps.Keys(x.state)) {
		s := x.state[key]
		s.Labels = maps.Clone(s.Labels)
		if edit != nil {
			edit(&s)
		}
		if s.Name != "" {
			all = append(all, s)
		}
	}
	x.m.at(at, "replica-1", journal.Scrape{Fresh: true, Changed: all, Series: len(all)})
}

// relabel edits every sample of every scrape.
func relabel(edit func(*journal.Sample)) func(*made) {
	return func(m *made) {
		replace(m, func(_ journal.Entry, s journal.Scrape) journal.Body {
			for i := range s.Changed {
				s.Changed[i].Labels = maps.Clone(s.Changed[i].Labels)
				edit(&s.Changed[i])
			}
			return s
		})
	}
}

// renamed gives a family another name; an empty one leaves it out.
func renamed(from, to string) func(*journal.Sample) {
	return func(s *journal.Sample) {
		if rest, ok := strings.CutPrefix(s.Name, from); ok {
			s.Name = ""
			if to != "" {
				s.Name = to + rest
			}
		}
	}
}

// roundTrip records our own exchange with a dependency.
func (m *made) roundTrip(at float64, on string, took float64) {
	m.at(at, on, journal.RoundTrip{RTT: secs(took).Duration(), Bytes: 1})
}
