package mutant

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seatrial/seatrial/experiments/catalogue"
	"github.com/seatrial/seatrial/experiments/subject"
)

func ordersMutants(t *testing.T) (root string, mutants []Mutant) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	mutants, err = List(filepath.Join(root, "testdata", "mutants"))
	if err != nil {
		t.Fatal(err)
	}
	if len(mutants) < 14 {
		t.Errorf("%d mutants, want at least 14", len(mutants))
	}
	return root, mutants
}

// TestOrders applies every mutant of the reference service and checks that both
// versions of it compile, or, where it changes the subject file alone, that this
// can be read. A mutant of the migrations alone changes neither.
func TestOrders(t *testing.T) {
	root, mutants := ordersMutants(t)
	current := newChecker(t, root, "", "./testdata/orders/...")
	next := newChecker(t, root, "next", "./testdata/orders/...")
	for _, m := range mutants {
		t.Run(m.Name, func(t *testing.T) {
			file, err := Overlay(m, root, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			files := replaced(t, file)
			of := filepath.Join(root, "testdata", "orders", "seatrial.yaml")
			if text, ok := files[of]; ok {
				if _, err := subject.Decode(of, []byte(get(t, text))); err != nil {
					t.Error(err)
				}
				if delete(files, of); len(files) == 0 {
					return
				}
			}
			if _, ok := files[filepath.Join(root, "testdata", "orders", "Dockerfile")]; ok {
				return // only an engine can tell whether it builds
			}
			for _, c := range []*checker{current, next} {
				if err := c.check(files); err != nil && (!errors.Is(err, errNothingChanged) || !onlySQL(files)) {
					t.Error(err)
				}
			}
		})
	}
}

// onlySQL reports whether an overlay changes statements alone.
func onlySQL(replace map[string]string) bool {
	for file := range replace {
		if filepath.Ext(file) != ".sql" {
			return false
		}
	}
	return true
}

// TestOrdersHeaders holds what every mutant says of itself to the catalogue:
// all its experiments are shipped, and the first, which must catch it, expects
// the detector that must.
func TestOrdersHeaders(t *testing.T) {
	_, mutants := ordersMutants(t)
	expects := map[string][]string{}
	for _, e := range catalogue.All() {
		kinds := []string{}
		for _, x := range e.Expect {
			kinds = append(kinds, x.Kind)
		}
		expects[e.Name] = kinds
	}
	for _, m := range mutants {
		for _, name := range m.Experiments {
			if expects[name] == nil {
				t.Errorf("%s: there is no experiment %q", m.Name, name)
			}
		}
		if kinds := expects[m.Experiments[0]]; !slices.Contains(kinds, m.Detector) {
			t.Errorf("%s: %s expects %v, and not %s", m.Name, m.Experiments[0], kinds, m.Detector)
		}
	}
}
