package detect

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/seatrial/seatrial/experiments/journal"
)

// BenchmarkJudge judges a saved journal of 500,000 requests with each detector
// that reads requests, beside what vegeta's report does with the same requests.
// "peer" is our rate over vegeta's; the goal is 1,000,000 requests a second.
func BenchmarkJudge(b *testing.B) {
	const requests = 500_000
	dir := savedRequests(b, requests)
	vegetaRate := vegetaReport(b, dir, requests)
	for name, d := range map[string]Detector{
		"success":  &Success{Ratio: 0.99, During: DuringAll},
		"latency":  &Latency{Quantile: "p99", Within: time.Second, During: DuringAll},
		"recovery": &Recovery{Within: time.Minute},
	} {
		b.Run(name, func(b *testing.B) {
			j, err := journal.Open(dir)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if f := d.Detect(j); f.Outcome != Held {
					b.Fatalf("%s: %s", f.Outcome, f.Reason)
				}
			}
			rate := requests * float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "requests/s")
			b.ReportMetric(rate/vegetaRate, "peer")
		})
	}
}

func savedRequests(b *testing.B, n int) string {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "run")
	f, err := journal.Create(dir, journal.Header{
		Promises: journal.DefaultPromises(), Routes: []journal.Route{{Name: "get", Method: "GET", Path: "/"}},
		Method: []journal.PlannedStep{{Name: "slow", Action: "latency", Class: "fault"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	gap := time.Millisecond
	length := gap * time.Duration(n)
	load := journal.Attack{Began: true, For: length, Planned: uint64(n)}
	f.Record(journal.Entry{At: 1, On: loadAttack, Body: load})
	for at, phase := range map[time.Duration]string{
		length / 4: journal.PhaseBegin, length/4 + 1: journal.PhaseInForce,
		length / 2: journal.PhaseRevert, length/2 + 1: journal.PhaseReverted,
	} {
		f.Record(journal.Entry{At: journal.Instant(at), On: "slow", Body: journal.StepEvent{Phase: phase}})
	}
	for i := range n {
		due := journal.Instant(gap * time.Duration(i))
		f.Request(journal.Request{
			Seq: uint64(i), Attack: loadAttack, Route: "get", Due: due, Sent: due.Add(time.Microsecond),
			Done: due.Add(time.Duration(1+i%40) * time.Millisecond), Code: 200, OK: true, BytesIn: 100,
		})
	}
	load.Began, load.Sent = false, uint64(n)
	f.Record(journal.Entry{At: journal.Instant(length), On: loadAttack, Body: load})
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

// vegetaReport is how many requests a second vegeta's text report takes in from
// its own binary form.
func vegetaReport(b *testing.B, dir string, n int) float64 {
	b.Helper()
	from, err := os.Open(filepath.Join(dir, journal.CSVFile))
	if err != nil {
		b.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(b.TempDir(), "results.gob")
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
	results, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer results.Close()
	began := time.Now()
	var m vegeta.Metrics
	next := vegeta.NewDecoder(results)
	for {
		var r vegeta.Result
		if err := next(&r); err != nil {
			break
		}
		m.Add(&r)
	}
	m.Close()
	if m.Requests != uint64(n) {
		b.Fatalf("vegeta read %d of %d requests", m.Requests, n)
	}
	return float64(n) / time.Since(began).Seconds()
}
