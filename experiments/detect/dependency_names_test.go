package detect

import (
	"cmp"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// TestDependencyMetricsOfTwoOfAKind has another HTTP dependency beside payments.
func TestDependencyMetricsOfTwoOfAKind(t *testing.T) {
	// as gives the series of payments another name and another label.
	as := func(family, label, value string) func(*made) {
		return relabel(func(s *journal.Sample) {
			if s.Labels["dependency"] != "payments" {
				return
			}
			renamed("dependency", family)(s)
			delete(s.Labels, "dependency")
			s.Labels[label] = value
		})
	}
	slow := func() *made { return slowedMade("payments", meansIn{0.51, 0.002, 0.001}) }
	failed := func() *made { return failedMade(100, "dependency", "payments", "outcome", "error") }
	names := map[string][]string{"payments": {"psp.example"}, "mail": {"smtp"}}
	for _, tt := range []struct {
		name    string
		m       *made
		edit    func(*made)
		names   map[string][]string
		other   string // default mail
		outcome Outcome
		says    string
	}{
		{
			"by a label", slow(), as("outgoing", "peer", "payments"), nil, "", Held,
			"outgoing_duration_seconds{outcome=ok,peer=payments}",
		},
		{"by a name", slow(), as("payments_client", "way", "out"), nil, "", Held, "payments_client_duration_seconds"},
		{"by another word", slow(), as("outgoing", "host", "psp.example:443"), names, "", Held, "host=psp.example:443"},
		{
			"by nothing", slow(), as("http_client", "way", "out"), nil, "", Violated,
			"names payments in its name or in a label, as mail is of the same kind (dependency_metrics.names of the " +
				"subject's detectors lists further words for each); http_client_duration_seconds says neither payments nor mail",
		},
		{
			"some client's", slow(), as("client", "way", "out"), nil, "", Violated,
			"client_duration_seconds says neither payments",
		},
		{
			"the other's", slow(), as("client", "to", "mail"), nil, "", Violated,
			"no metric tells how long calls to payments take",
		},
		{
			"a longer name", slow(), as("client", "to", "payments-eu"), nil, "payments_eu", Violated,
			"no metric tells how long calls to payments",
		},
		{
			"errors by a label", failed(), as("outgoing", "peer", "payments"), nil, "", Held,
			"errors of payments were counted",
		},
		{
			"errors by nothing", failed(), as("http_client", "way", "out"), nil, "", Violated,
			"no metric counts errors of payments, while status was in force",
		},
		{
			"errors of some client", failed(), as("client", "way", "out"), nil, "", Violated,
			"client_calls_total says neither payments",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.edit(tt.m)
			other := journal.DependencyInfo{Name: cmp.Or(tt.other, "mail"), Kind: "http"}
			tt.m.header.Dependencies = append(tt.m.header.Dependencies, other)
			wants(t, (&DependencyMetrics{Names: tt.names}).Detect(tt.m.memory()), tt.outcome, tt.says)
		})
	}
}

// A cache's hits say nothing of another cache.
func TestHitsOfTwoCaches(t *testing.T) {
	for _, tt := range []struct {
		name    string
		edit    func(*journal.Sample)
		outcome Outcome
		says    string
	}{
		{"its own", func(*journal.Sample) {}, Violated, "says that 50 % of the look-ups were hits"},
		{"another's", func(s *journal.Sample) {
			if s.Labels["result"] != "" {
				s.Labels["of"] = "sessions"
			}
		}, Held, "no metric tells how often cache has what is looked for"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := cacheGone(6, 5)
			relabel(tt.edit)(m)
			m.header.Dependencies = append(m.header.Dependencies, journal.DependencyInfo{Name: "sessions", Kind: "redis"})
			wants(t, judged(t, "dependency_metrics", m), tt.outcome, tt.says)
		})
	}
}
