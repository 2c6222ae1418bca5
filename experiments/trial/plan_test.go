package trial

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/catalogue"
	"github.com/seatrial/seatrial/experiments/subject"
)

// TestSavedPlans saves the plans of the catalogue as a trial's folder holds
// them, without what may be secret, and makes them again: they are the same.
func TestSavedPlans(t *testing.T) {
	s, err := subject.Load("../subject/testdata/sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	plans, err := Plans(catalogue.All(), s, 7)
	if err != nil {
		t.Fatal(err)
	}
	for i := range plans {
		saved, err := savePlan(&plans[i])
		if err != nil {
			t.Fatal(err)
		}
		again, err := loadPlan(saved)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plans[i].String(), again.String()); diff != "" || again.NotApplicable != plans[i].NotApplicable {
			t.Errorf("%s: %q, was %q (-planned +loaded):\n%s", plans[i].Name, again.NotApplicable, plans[i].NotApplicable, diff)
		}
	}
}
