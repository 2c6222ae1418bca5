package experiments

import (
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestEvaluate(t *testing.T) {
	p := journal.DefaultPromises()
	for text, want := range map[string]string{
		"${answers_within}":                         "5s",
		"${times 2 answers_within}":                 "10s",
		"${times answers_within 0.5}":               "2.5s",
		"${plus answers_within 1s}":                 "6s",
		"${minus answers_within 500ms}":             "4.5s",
		"${times 2 max_attempts}":                   "8",
		"${min (times 2 answers_within) 7s}":        "7s",
		"${max 1 (plus 2 success_ratio)}":           "2.995",
		"${plus 1s (times 2 (min 3s slo_latency))}": "3s",
	} {
		if got, err := evaluate(text, p); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"${}", "${times}", "${times 2}", "${times 2 3 4}", "${plus 1 1s}", "${times 1s 1s}", "${drain}", "${(1}",
		"${minus 1s 2s}",
		"${" + strings.Repeat("(", 40) + "1}",
	} {
		if got, err := evaluate(text, p); err == nil {
			t.Errorf("%s = %q", text, got)
		}
	}
}
