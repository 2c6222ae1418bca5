package detect

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

var update = flag.Bool("update", false, "write the recorded journals that are made up, and the golden findings")

// recorded is where the recorded journals lie: DETECTOR/OUTCOME-NAME/ with
// journal.jsonl, requests.bin and the finding that the detector's defaults make
// of them.
const recorded = "../../testdata/journals"

// findingFile is the golden finding beside a recorded journal.
const findingFile = "finding.json"

// madeUp are the recorded journals that -update writes anew, by their path
// under [recorded]. Journals of real runs are only put there.
var madeUp = map[string]func() journal.Journal{}

// madeUpAs names a journal that -update writes to testdata/journals.
func madeUpAs(path string, f func() journal.Journal) struct{} {
	if madeUp[path] != nil {
		panic(path + " is made up twice")
	}
	madeUp[path] = f
	return struct{}{}
}

// madeUpAt is when made-up runs were begun.
var madeUpAt = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// save writes a made-up journal as a run's folder. It is made and written on a
// clock of its own, which stands still, so that it is the same each time.
func save(t *testing.T, dir string, made func() journal.Journal) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Until(madeUpAt)) // at once, on that clock
		j := made()
		f, err := journal.Create(dir, j.Header())
		if err != nil {
			t.Fatal(err)
		}
		for e := range j.Entries() {
			f.Record(e)
		}
		for r := range j.Requests(journal.Window{}) {
			f.Request(r)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	})
	if err := os.Remove(filepath.Join(dir, journal.CSVFile)); err != nil {
		t.Fatal(err)
	}
}

// renew writes a made-up journal to its folder, unless the one that lies there
// says the same.
func renew(t *testing.T, dir string, made func() journal.Journal) {
	t.Helper()
	fresh := filepath.Join(t.TempDir(), "journal")
	save(t, fresh, made)
	if sameJournal(t, dir, fresh) {
		return
	}
	if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(fresh))); err != nil {
		t.Fatal(err)
	}
}

// sameJournal reports whether two folders hold the same journal, but for keys of
// the header that came into being after the older one was written.
func sameJournal(t *testing.T, older, newer string) bool {
	t.Helper()
	if _, err := os.Stat(filepath.Join(older, journal.EntriesFile)); err != nil {
		return false
	}
	requests := func(dir string) string {
		all, err := os.ReadFile(filepath.Join(dir, journal.RequestsFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return string(all)
	}
	header := func(dir string) (head map[string]any, rest string) {
		all, err := os.ReadFile(filepath.Join(dir, journal.EntriesFile))
		if err != nil {
			t.Fatal(err)
		}
		first, rest, _ := strings.Cut(string(all), "\n")
		if err := json.Unmarshal([]byte(first), &head); err != nil {
			t.Fatal(err)
		}
		return head, rest
	}
	was, wasRest := header(older)
	is, isRest := header(newer)
	return wasRest == isRest && requests(older) == requests(newer) && covers(is, was)
}

// covers reports whether one JSON value has all that another has.
func covers(has, wanted any) bool {
	object, ok := wanted.(map[string]any)
	if !ok {
		return cmp.Equal(has, wanted)
	}
	in, ok := has.(map[string]any)
	for key := range object {
		ok = ok && covers(in[key], object[key])
	}
	return ok
}

// What docs/findings.md quotes is what the detectors say.
func TestFindingsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/findings.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(strings.ReplaceAll(string(page), "\n> ", " ")), " ")
	for _, path := range []string{
		"idempotent_retries/violated-fresh-key", "jitter/violated-none", "success/unknown-few-bad",
		"latency/unknown-late-generator", "metastability/violated-stays-down",
	} {
		kind, _, _ := strings.Cut(path, "/")
		d, err := New(kind)
		if err != nil {
			t.Fatal(err)
		}
		j, err := journal.Open(filepath.Join(recorded, path))
		if err != nil {
			t.Fatal(err)
		}
		if reason := d.Detect(j).Reason; !strings.Contains(text, reason) {
			t.Errorf("docs/findings.md does not quote %s: %s", path, reason)
		}
	}
}

func TestRecordedJournals(t *testing.T) {
	if *update {
		time.Local = time.UTC // a journal tells its beginning in local time
		for path, made := range madeUp {
			renew(t, filepath.Join(recorded, path), made)
		}
	}
	dirs, err := filepath.Glob(filepath.Join(recorded, "*", "*-*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no recorded journals in %s: %v", recorded, err)
	}
	for _, dir := range dirs {
		kind, name := filepath.Base(filepath.Dir(dir)), filepath.Base(dir)
		t.Run(kind+"/"+name, func(t *testing.T) { judgeRecorded(t, dir, kind, name) })
	}
}

func judgeRecorded(t *testing.T, dir, kind, name string) {
	t.Helper()
	d, err := New(kind)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := d.Detect(j)
	want, _, _ := strings.Cut(name, "-")
	expect(t, got, Outcome(want))
	if again := d.Detect(j); !cmp.Equal(got, again) {
		t.Errorf("judged again, it is another finding: %s", cmp.Diff(got, again))
	}
	text, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	golden := filepath.Join(dir, findingFile)
	if *update {
		if err := os.WriteFile(golden, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(file), string(text)); diff != "" {
		t.Errorf("the finding has changed (-update writes it anew): %s", diff)
	}
}

// Every detector has a recorded journal for each outcome it can have; guards
// never find a violation.
func TestEveryDetectorIsRecorded(t *testing.T) {
	for _, kind := range Kinds() {
		for _, outcome := range []Outcome{Held, Violated, Unknown} {
			if outcome == Violated && strings.HasPrefix(kind, "guard_") {
				continue
			}
			found, err := filepath.Glob(filepath.Join(recorded, kind, string(outcome)+"-*", journal.EntriesFile))
			if err != nil || len(found) == 0 {
				t.Errorf("there is no journal like %s/%s-*", kind, outcome)
			}
		}
	}
}

// Nothing was measured in these, so nothing held and nothing is violated.
func TestEmptyJournals(t *testing.T) {
	onlyLoad := fixture()
	step(onlyLoad, 0, faultFrom, faultTo)
	for name, j := range map[string]journal.Journal{
		"no header":           journal.NewMemory(journal.Header{}),
		"header only":         fixture(),
		"a step and no entry": onlyLoad,
	} {
		for _, kind := range Kinds() {
			if name != "header only" && kind == "guard_cleanup" || kind == "guard_agent" && name == "a step and no entry" {
				continue // these are about what is missing, or about the step itself
			}
			d, err := New(kind)
			if err != nil {
				t.Fatal(err)
			}
			f := d.Detect(j)
			if f.Outcome != Unknown && f.Outcome != NotApplicable {
				t.Errorf("%s on a journal with %s is %s: %s", kind, name, f.Outcome, f.Reason)
			}
			if f.Detector != kind || f.Reason == "" {
				t.Errorf("%s makes a finding of %q with the reason %q", kind, f.Detector, f.Reason)
			}
		}
	}
}

// Guards never find a violation: they are about the harness.
func TestGuardsAreUnknownAtWorst(t *testing.T) {
	noisy := fixture()
	step(noisy, 0, faultFrom, 0)
	load(noisy, func(i int, r *journal.Request) {
		if i%2 == 0 {
			drop(r)
		} else {
			fail(r, 500, 1)
		}
	})
	for _, g := range Guards() {
		if f := g.Detect(noisy); f.Outcome == Violated || f.Outcome == "" {
			t.Errorf("%s is %s: %s", f.Detector, f.Outcome, f.Reason)
		}
	}
}

// A detector that nobody can find in a file is none.
func TestGuardsAreRegistered(t *testing.T) {
	for _, g := range Guards() {
		kind := g.Detect(fixture()).Detector
		if !slices.Contains(Kinds(), kind) {
			t.Errorf("%s is not registered", kind)
		}
	}
}
