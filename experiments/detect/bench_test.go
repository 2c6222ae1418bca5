package detect

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Sizes of the journals that are judged. What a detector allocates for the
// large one, less what it allocates for the small one, is its cost in memory
// of a request; the goal is none.
const (
	benchSmall = 500_000
	benchLarge = 2_000_000
)

// BenchmarkJudge judges saved journals with each detector that reads requests,
// beside what vegeta report does with as many. A journal is that of a run in
// which the promise held, each request so often that there are as many as
// wanted: the detector takes the way that it takes after a real run. Those that
// we hung up on stay as few as they were, since a run has a handful of them and
// the detector of cancellation keeps each. Goal: 1,000,000 requests a second.
// "reads" is how often it reads the file, "vegetas" how often as fast it is.
func BenchmarkJudge(b *testing.B) {
	vegetas := vegetaReport(b)
	for _, kind := range Kinds() {
		original, reads := heldOf(b, kind)
		if reads == 0 { // it reads entries alone
			continue
		}
		b.Run(kind, func(b *testing.B) {
			small := judgeMany(b, kind, original, benchSmall)
			large := judgeMany(b, kind, original, benchLarge)
			b.ReportMetric(0, "ns/op") // the sum of unlike things
			rate := benchLarge / large.took.Seconds()
			b.ReportMetric(rate, "requests/s")
			if vegetas > 0 {
				b.ReportMetric(rate/vegetas, "vegetas")
			}
			b.ReportMetric(float64(reads), "reads")
			b.ReportMetric(float64(small.allocated)/1e6, "MB-allocated-of-500k")
			b.ReportMetric(float64(large.allocated)/1e6, "MB-allocated-of-2M")
			b.ReportMetric(float64(large.peak)/1e6, "MB-peak-of-2M")
		})
	}
}

// vegetaReport is how many requests a second vegeta report takes in, by the
// command where the Makefile has built it, else by the library.
func vegetaReport(b *testing.B) (rate float64) {
	b.Helper()
	name, report := "vegeta-report-by-library", reportByLibrary
	if command := os.Getenv("SEATRIAL_VEGETA"); command != "" {
		name, report = "vegeta-report", reportBy(command)
	}
	original, _ := heldOf(b, "success")
	b.Run(name, func(b *testing.B) {
		gob := asGob(b, saveMany(b, original, benchLarge))
		began := time.Now()
		report(b, gob)
		rate = benchLarge / time.Since(began).Seconds()
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(rate, "requests/s")
	})
	return rate
}

// heldOf is the journal of a run in which a kind's promise held, and how often
// the kind reads its requests.
func heldOf(b *testing.B, kind string) (*journal.Memory, int) {
	b.Helper()
	for _, path := range slices.Sorted(maps.Keys(madeUp)) {
		if !strings.HasPrefix(path, kind+"/held-") {
			continue
		}
		j := journal.NewMemory(madeUp[path]().Header())
		from := madeUp[path]()
		for e := range from.Entries() {
			j.Record(e)
		}
		for r := range from.Requests(journal.Window{}) {
			j.Request(r)
		}
		if len(ordinary(j)) == 0 {
			load(j, nil) // calls or hang-ups alone: a run has a load beside them
		}
		counted := &readCounter{Journal: j}
		if f := newDetector(b, kind).Detect(counted); f.Outcome != Held {
			b.Fatalf("%s: %s: %s", path, f.Outcome, f.Reason)
		}
		return j, counted.reads
	}
	b.Errorf("no recorded journal in which %s held, so it is not measured", kind)
	return nil, 0
}

func newDetector(b *testing.B, kind string) Detector {
	b.Helper()
	d, err := New(kind)
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// readCounter counts how often requests are asked for.
type readCounter struct {
	journal.Journal
	reads int
}

func (c *readCounter) Requests(w journal.Window) iter.Seq[journal.Request] {
	c.reads++
	return c.Journal.Requests(w)
}

// judging is what it took to judge a journal once.
type judging struct {
	took            time.Duration
	allocated, peak uint64 // bytes
}

func judgeMany(b *testing.B, kind string, original *journal.Memory, n int) judging {
	b.Helper()
	dir := saveMany(b, original, n)
	defer os.RemoveAll(dir)
	j, err := journal.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	d := newDetector(b, kind)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := watchHeap(b.Context())
	began := time.Now()
	f := d.Detect(j)
	took := time.Since(began)
	high := peak()
	runtime.ReadMemStats(&after)
	if f.Outcome == NotApplicable {
		b.Fatalf("%s: %s", f.Outcome, f.Reason)
	}
	return judging{took, after.TotalAlloc - before.TotalAlloc, max(high, before.HeapAlloc) - before.HeapAlloc}
}

// watchHeap looks at the heap until it is asked for the most that it has seen.
func watchHeap(ctx context.Context) (most func() uint64) {
	ctx, cancel := context.WithCancel(ctx)
	high := make(chan uint64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		most := uint64(0)
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-tick.C:
			case <-ctx.Done():
				high <- most
				return
			}
		}
	}()
	return func() uint64 { cancel(); return <-high }
}

// ordinary are the requests that we did not hang up on.
func ordinary(j journal.Journal) []journal.Request {
	all := slices.Collect(j.Requests(journal.Window{}))
	return slices.DeleteFunc(all, func(r journal.Request) bool { return r.Canceled })
}

// saveMany saves a journal with each ordinary request so often that there are n
// of them.
func saveMany(b *testing.B, original *journal.Memory, n int) string {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "run")
	f, err := journal.Create(dir, original.Header())
	if err != nil {
		b.Fatal(err)
	}
	for e := range original.Entries() {
		f.Record(e)
	}
	for r := range original.Requests(journal.Window{}) {
		if r.Canceled {
			f.Request(r)
		}
	}
	all := ordinary(original)
	for i := range n {
		r := all[i*len(all)/n]
		r.Seq = uint64(i)
		f.Request(r)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

// asGob rewrites a journal's requests.csv as what vegeta attack writes.
func asGob(b *testing.B, dir string) string {
	b.Helper()
	from, err := os.Open(filepath.Join(dir, journal.CSVFile))
	if err != nil {
		b.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(dir, "results.gob")
	to, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	decode, encode := vegeta.NewCSVDecoder(from), vegeta.NewEncoder(to)
	for {
		var r vegeta.Result
		if err := decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			b.Fatal(err)
		}
		if err := encode(&r); err != nil {
			b.Fatal(err)
		}
	}
	if err := to.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

// reportBy reports with vegeta's command.
func reportBy(command string) func(*testing.B, string) {
	return func(b *testing.B, path string) {
		b.Helper()
		cmd := exec.CommandContext(b.Context(), command, "report", path)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("vegeta report: %v: %s", err, out)
		}
	}
}

// reportByLibrary does what the command does, where there is no command.
func reportByLibrary(b *testing.B, path string) {
	b.Helper()
	results, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer results.Close()
	var m vegeta.Metrics
	next := vegeta.NewDecoder(results)
	for {
		var r vegeta.Result
		if err := next(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			b.Fatal(err)
		}
		m.Add(&r)
	}
	m.Close()
}
