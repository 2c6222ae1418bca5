package catalogue

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/subject"
)

// hurtful are the actions on a database server that its other users feel.
var hurtful = []string{"table_lock", "deadlock", "refuse_writes", "connection_flood", "restart"}

// database is the sample's PostgreSQL.
func database(t *testing.T, s *subject.Subject) *subject.Dependency {
	t.Helper()
	i := slices.IndexFunc(s.Dependencies, func(d subject.Dependency) bool { return d.Kind == subject.Postgres })
	if i < 0 {
		t.Fatal("the sample has no database")
	}
	return &s.Dependencies[i]
}

// eachPlan plans the whole catalogue.
func eachPlan(t *testing.T, s *subject.Subject, f func(experiments.Plan)) {
	t.Helper()
	for _, e := range All() {
		plans, err := experiments.NewPlan(e, s, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range plans {
			f(p)
		}
	}
}

// hurting are the plans with a step on the database that is one of the actions.
func hurting(t *testing.T, actions []string) (names []string) {
	t.Helper()
	s := sample(t)
	eachPlan(t, s, func(p experiments.Plan) {
		if slices.ContainsFunc(p.Steps, func(step experiments.PlannedStep) bool {
			return step.Target == database(t, s).Name && slices.Contains(actions, step.Action)
		}) {
			names = append(names, p.Name)
		}
	})
	return names
}

// TestSparesOthers plans the catalogue for a database server that others use,
// too: what would hurt them is left out, with a sentence that says how to allow
// it, and nothing else is.
func TestSparesOthers(t *testing.T) {
	theirs := append(slices.Clone(hurtful), "migrate")
	if n := len(hurting(t, hurtful)); n < 4 {
		t.Fatalf("only %d plans would hurt; these names of actions are not the right ones", n)
	}
	for name, c := range map[string]struct {
		edit   func(*subject.Dependency)
		spared []string
	}{
		"a database of our own": {func(*subject.Dependency) {}, hurting(t, hurtful)},
		"one of theirs": {
			func(d *subject.Dependency) { d.ServiceURL = "postgres://app@127.0.0.1/app" }, hurting(t, theirs),
		},
		"it is allowed": {func(d *subject.Dependency) { d.Disruptive = true }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := sample(t)
			d := database(t, s)
			d.Address, d.AdminURL = "127.0.0.1:5432", "postgres://root@127.0.0.1/postgres"
			c.edit(d)
			var spared []string
			eachPlan(t, s, func(p experiments.Plan) {
				if !strings.Contains(p.NotApplicable, "would hurt other users of the server at 127.0.0.1:5432: ") {
					return
				}
				spared = append(spared, p.Name)
				if !strings.Contains(p.NotApplicable, "say disruptive: true in dependencies."+d.Name) {
					t.Errorf("%s: %s", p.Name, p.NotApplicable)
				}
			})
			if diff := cmp.Diff(c.spared, spared); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
		})
	}
}
