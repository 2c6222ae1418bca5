package mutant

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestOrders applies every mutant of the reference service and compiles it.
func TestOrders(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	mutants, err := List(filepath.Join(root, "testdata", "mutants"))
	if err != nil {
		t.Fatal(err)
	}
	if len(mutants) < 14 {
		t.Errorf("%d mutants, want at least 14", len(mutants))
	}
	for _, m := range mutants {
		t.Run(m.Name, func(t *testing.T) {
			overlay, err := Overlay(m, root, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "./testdata/orders/internal/...")
			cmd.Dir = root
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
