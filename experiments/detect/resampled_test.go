package detect

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// resampledKinds are the detectors of the main job that rest on instants,
// shares or quantiles, and whether they look at requests alone.
var resampledKinds = []struct {
	kind         string
	requestsOnly bool
}{
	{"backoff_growth", false},
	{"cancellation", false},
	{"cardinality", false},
	{"containment", false},
	{"deadline", false},
	{"dependency_metrics", false},
	{"drain", false},
	{"drain_deadline", false},
	{"histogram_buckets", false},
	{"jitter", false},
	{"latency", true},
	{"liveness", false},
	{"metastability", false},
	{"metrics_truth", false},
	{"pool_bound", false},
	{"readiness", false},
	{"recovery", true},
	{"retry_after", false},
	{"retry_budget", false},
	{"rolling_restart", false},
	{"saturation_metrics", false},
	{"shedding", true},
	{"statement_bound", false},
	{"success", true},
}

// How often each journal is judged under each noise in the two forms of the
// test: those that are large less often.
const (
	resampledLong  = 1000
	resampledLarge = 200
	resampledQuick = 10
)

var largeJournals = []string{"retry_budget", "rolling_restart"}

// wrongAtMost is how often a single run may be judged wrong: what two runs that
// must agree turn into 1.2 of 10,000 (detectors.md, section 1).
const wrongAtMost = 0.011

// TestResampled judges the recorded journals as if their runs had been made
// again and again. Where SEATRIAL_LONG is set, it does so often enough for
// rates and writes the table of docs/detectors.md.
func TestResampled(t *testing.T) {
	long := os.Getenv("SEATRIAL_LONG") != ""
	var table strings.Builder
	whole := true // unless -run left something out
	for _, k := range resampledKinds {
		times := resampledQuick
		switch {
		case long && slices.Contains(largeJournals, k.kind):
			times = resampledLarge
		case long:
			times = resampledLong
		}
		dirs, err := filepath.Glob(filepath.Join(recorded, k.kind, "*-*"))
		if err != nil || len(dirs) == 0 {
			t.Fatalf("no recorded journals of %s: %v", k.kind, err)
		}
		for _, dir := range dirs {
			truth, _, _ := strings.Cut(filepath.Base(dir), "-")
			if truth == string(Unknown) {
				continue
			}
			name := k.kind + "/" + filepath.Base(dir)
			fmt.Fprintf(&table, "| %s |", name)
			for _, n := range noises {
				ran := false
				t.Run(name+"/"+n.name, func(t *testing.T) {
					ran = true
					said := rejudge(t, dir, k.kind, resampling{noise: n, blocks: k.requestsOnly}, times)
					fmt.Fprintf(&table, " %d / %d / %d |", said[Held], said[Violated], said[Unknown])
					hold(t, Outcome(truth), n, said, times)
				})
				whole = whole && ran
			}
			table.WriteString("\n")
		}
	}
	if long && whole && !t.Failed() {
		writeResampled(t, table.String())
	}
}

// hold says whether the errors are as rare as they have to be: on a quiet and on
// a busy machine. False alarms on a hostile one, which the guards refuse, are
// only told of; a violation must not be judged held there, either.
func hold(t *testing.T, truth Outcome, n noise, said map[Outcome]int, times int) {
	t.Helper()
	if n.name == "hostile" && truth == Held {
		return
	}
	wrong := said[Violated]
	if truth == Violated {
		wrong = said[Held]
	}
	if most := fewOf(wrongAtMost, times); wrong > most {
		t.Errorf("%s is judged wrong in %d of %d runs, at most %d may be: %v", truth, wrong, times, most, said)
	}
	if n.name == noises[0].name && said[truth] < times-fewOf(wrongAtMost, times) {
		t.Errorf("on a quiet machine %s is seen in only %d of %d runs: %v", truth, said[truth], times, said)
	}
}

// rejudge counts what a kind says of as many runs like a recorded one.
func rejudge(t *testing.T, dir, kind string, s resampling, times int) map[Outcome]int {
	t.Helper()
	saved, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	j := journal.NewMemory(saved.Header()) // what is in memory is read a thousand times
	for e := range saved.Entries() {
		j.Record(e)
	}
	for q := range saved.Requests(journal.Window{}) {
		j.Request(q)
	}
	d, err := New(kind)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 8))
	said := map[Outcome]int{}
	for range times {
		said[d.Detect(s.of(j, r)).Outcome]++
	}
	return said
}

// Every kind of which the rates are kept must be of a class that can err.
func TestResampledKinds(t *testing.T) {
	for _, k := range resampledKinds {
		if info, ok := Describe(k.kind); !ok || !slices.Contains([]Class{Timing, Rate}, info.Class) {
			t.Errorf("%s is no detector of timing or rates", k.kind)
		}
	}
}

// writeResampled writes the table into docs/detectors.md.
func writeResampled(t *testing.T, rows string) {
	t.Helper()
	const path = "../../docs/detectors.md"
	const begin = "<!-- rates: SEATRIAL_LONG=1 go test -run Resampled ./experiments/detect -->\n"
	const end = "<!-- end of rates -->\n"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	_, tail, ends := strings.Cut(rest, end)
	if !ok || !ends {
		t.Fatalf("%s has not both of %q and %q", path, begin, end)
	}
	table := "| journal | quiet | busy | hostile |\n|---|---|---|---|\n" + rows
	if err := os.WriteFile(path, []byte(head+begin+table+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
