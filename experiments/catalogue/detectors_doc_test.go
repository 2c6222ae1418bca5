package catalogue

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	difftool "github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
)

// TestDetectorsAreDocumented holds the table of docs/detectors.md to the code,
// and wants a section for every kind. -update writes the table.
func TestDetectorsAreDocumented(t *testing.T) {
	const path = "../../docs/detectors.md"
	const begin, end = "<!-- table: go test ./experiments/catalogue -update -->\n", "<!-- end of table -->\n"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	table, tail, ends := strings.Cut(rest, end)
	if !ok || !ends {
		t.Fatalf("%s has not both of %q and %q", path, begin, end)
	}
	for _, kind := range detect.Kinds() {
		if !strings.Contains(tail, "\n### "+kind+"\n") {
			t.Errorf("%s has no section ### %s", path, kind)
		}
	}
	want := detectorTable()
	if *update {
		if err := os.WriteFile(path, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := difftool.Diff(want, table); diff != "" {
		t.Errorf("the table (-code +document), -update writes it:\n%s", diff)
	}
}

// detectorTable is one row for each kind of detector.
func detectorTable() string {
	asked := map[string][]string{}
	for _, e := range All() {
		all := slices.Concat(e.SteadyState.Expect, e.Guardrails, e.Expect)
		slices.SortFunc(all, func(a, b experiments.Expectation) int { return cmp.Compare(a.Kind, b.Kind) })
		for _, x := range slices.CompactFunc(all, func(a, b experiments.Expectation) bool { return a.Kind == b.Kind }) {
			asked[x.Kind] = append(asked[x.Kind], e.Name)
		}
	}
	for _, g := range detect.Guards() {
		kind := g.Detect(journal.NewMemory(journal.Header{})).Detector
		asked[kind] = []string{"every run"}
	}
	var b strings.Builder
	b.WriteString("| kind | list | checklist | class | asked by |\n|---|---|---|---|---|\n")
	for _, kind := range detect.Kinds() {
		info, _ := detect.Describe(kind)
		by := strings.Join(asked[kind], ", ")
		if by == "" {
			by = "none of the catalogue"
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s | %s |\n",
			kind, kind, info.ID, strings.Join(info.Checklist, ", "), info.Class, by)
	}
	return b.String()
}
