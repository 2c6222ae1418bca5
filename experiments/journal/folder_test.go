package journal

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	vegeta "github.com/tsenart/vegeta/v12/lib"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sampleHeader() Header {
	return Header{
		Trial: "t1", Run: "r1", Experiment: "http-slow/payments", Attempt: 1, Seed: 7,
		Service: "orders", Replicas: []string{"orders-1"}, Promises: DefaultPromises(),
		Routes: []Route{{Name: "create", Method: "POST", Path: "/v1/orders", Weight: 1, Write: true}},
		Method: []PlannedStep{{Name: "slow", Action: "latency", Class: "fault", At: 3, For: 5}},
	}
}

func sampleRequests() []Request {
	return []Request{
		{Seq: 0, Attack: "load", Route: "create", Due: 1, Sent: 2, Done: 3e6, Code: 201, OK: true, BytesIn: 7, BytesOut: 9},
		{Seq: 1, Attack: "load", Route: "create", Due: 20e6, Sent: 20e6, Done: 20e6, Dropped: true},
		{
			Seq: 2, Attack: "burst", Route: "create", Due: 40e6, Sent: 41e6, Done: 90e6, Code: 503,
			RetryAfter: true, Close: true, Reused: true, Replays: 2, Tries: 4,
		},
		{Seq: 3, Attack: "burst", Route: "create", Due: 60e6, Sent: 61e6, Done: 70e6, Err: ErrCanceled, Canceled: true},
	}
}

func record(t *testing.T, dir string) *Folder {
	t.Helper()
	f, err := Create(dir, sampleHeader())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range sampleEntries() {
		f.Record(e)
	}
	for _, r := range sampleRequests() {
		f.Request(r)
	}
	return f
}

func sampleEntries() []Entry {
	return []Entry{
		{At: 1, Body: Phase{Name: "steady"}},
		{At: 5, On: "slow", Body: StepEvent{Phase: PhaseInForce}},
		{At: 6, On: "payments", Body: Call{Method: "POST", Path: "/charges", Status: 200, Answered: time.Millisecond}},
		{At: 7, On: "orders-1", Body: LogLine{Stream: "stdout", Text: "a\x1b[31m line\n"}},
		{At: 8, On: "later", Body: Unknown{Name: "from-a-later-version", Data: json.RawMessage(`{"a":1}`)}},
		{At: 9, On: "slow", Body: StepEvent{Phase: PhaseRevert}},
	}
}

func TestAJournalReadsBackAsItWasWritten(t *testing.T) {
	dir := t.TempDir()
	if err := record(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sampleEntries(), slices.Collect(j.Entries())); d != "" {
		t.Errorf("entries (-written +read):\n%s", d)
	}
	if d := cmp.Diff(sampleRequests(), slices.Collect(j.Requests(Window{}))); d != "" {
		t.Errorf("requests (-written +read):\n%s", d)
	}
	got := slices.Collect(j.Requests(Window{From: 20e6, To: 60e6}))
	if d := cmp.Diff(sampleRequests()[1:3], got); d != "" {
		t.Errorf("requests of a window (-want +got):\n%s", d)
	}
	w, ok := j.Steps()[0].Window()
	if !ok || w != (Window{From: 5, To: 9}) {
		t.Errorf("the step's window is %v, %v", w, ok)
	}
	if h := j.Header(); h.Experiment != "http-slow/payments" || h.Promises != DefaultPromises() {
		t.Errorf("the header reads back as %+v", h)
	}
}

func TestWhatWasFlushedOutlivesTheWriter(t *testing.T) {
	dir := t.TempDir()
	f := record(t, dir)
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	for _, name := range []string{EntriesFile, RequestsFile} { // the writer died within a write
		file, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(`{"t":12,"ki`); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(slices.Collect(j.Entries())); got != len(sampleEntries()) {
		t.Errorf("%d entries are read, %d were flushed", got, len(sampleEntries()))
	}
	if got := len(slices.Collect(j.Requests(Window{}))); got != len(sampleRequests()) {
		t.Errorf("%d requests are read, %d were flushed", got, len(sampleRequests()))
	}
}

func TestVegetaReadsTheRequests(t *testing.T) {
	dir := t.TempDir()
	f := record(t, dir)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(dir, CSVFile))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	decode := vegeta.NewCSVDecoder(file)
	for i, want := range sampleRequests() {
		var r vegeta.Result
		if err := decode(&r); err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
		due := f.Header().Started.Add(want.Due.Duration())
		if int(r.Code) != want.Code || r.Seq != want.Seq || r.Latency != want.Latency() || !r.Timestamp.Equal(due) {
			t.Errorf("row %d is %+v, want %+v", i, r, want)
		}
		if (r.Error == "dropped") != want.Dropped || r.Method != "POST" || r.Attack != want.Attack {
			t.Errorf("row %d is %+v, want %+v", i, r, want)
		}
	}
}

func TestAJournalIsNeverOverwritten(t *testing.T) {
	dir := t.TempDir()
	if err := record(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, sampleHeader()); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second journal in the same folder: %v", err)
	}
}

func TestAFullDiskIsToldAndNothingIsRecordedAfterIt(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this machine has no /dev/full")
	}
	f := record(t, t.TempDir())
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	old := f.entries.file
	f.entries.file = full
	f.entries.Reset(full)
	f.mu.Unlock()
	t.Cleanup(func() { _ = old.Close() })
	f.Record(Entry{Body: Note{Text: "lost"}})
	if err := f.Flush(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("the full disk is told as %v", err)
	}
	if err := f.Close(); err == nil || f.Err() == nil {
		t.Error("Close forgets the error")
	}
}

func TestEveryKindReadsBack(t *testing.T) {
	for _, kind := range Kinds() {
		body, err := kinds[kind](json.RawMessage(`{}`))
		if err != nil || body.Kind() != kind {
			t.Errorf("kind %s reads back as %v, %v", kind, body, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	rec, err := Create(dir, sampleHeader())
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range sampleEntries() {
		rec.Record(e)
	}
	rec.Request(sampleRequests()[0])
	if err := rec.Close(); err != nil {
		f.Fatal(err)
	}
	lines, err := os.ReadFile(filepath.Join(dir, EntriesFile))
	if err != nil {
		f.Fatal(err)
	}
	requests, err := os.ReadFile(filepath.Join(dir, RequestsFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(lines, requests)
	f.Add([]byte("{}\n"), []byte(binaryMagic))
	f.Fuzz(func(t *testing.T, lines, requests []byte) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{EntriesFile: lines, RequestsFile: requests} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		j, err := Open(dir)
		if err != nil {
			return
		}
		for e := range j.Entries() {
			if e.Body == nil {
				t.Fatal("an entry without a body was read")
			}
		}
		for range j.Requests(Window{}) {
			continue
		}
		j.Steps()
	})
}
