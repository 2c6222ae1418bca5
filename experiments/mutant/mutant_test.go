package mutant

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const patch = `experiment: http-flaky, http-down
detector: attempts
says: Tries again
  for ever.

diff --git a/pkg/a.go b/pkg/a.go
--- a/pkg/a.go
+++ b/pkg/a.go
@@ -1,3 +1,3 @@
 package pkg
 
-const attempts = 3
+const attempts = 1 << 30
`

func TestList(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "b.patch", strings.Replace(patch, "attempts", "jitter", 1))
	put(t, dir, "a.patch", patch)
	put(t, dir, "notes.txt", "not a mutant")
	got, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Mutant{
		{
			Name: "a", Experiments: []string{"http-flaky", "http-down"}, Detector: "attempts",
			Says: "Tries again for ever.", File: filepath.Join(dir, "a.patch"),
		},
		{
			Name: "b", Experiments: []string{"http-flaky", "http-down"}, Detector: "jitter",
			Says: "Tries again for ever.", File: filepath.Join(dir, "b.patch"),
		},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Mutant{}, "Digest")); d != "" {
		t.Error(d)
	}
	if got[0].Digest == "" || got[0].Digest != got[1].Digest {
		t.Errorf("digests are %q and %q, want the same of the same change", got[0].Digest, got[1].Digest)
	}
}

// TestDigest holds that a patch that only moved is the same mutant, and one
// that changes something else is not.
func TestDigest(t *testing.T) {
	of := func(patch string) string {
		t.Helper()
		m, _, err := parse([]byte(patch))
		if err != nil {
			t.Fatal(err)
		}
		return m.Digest
	}
	if moved := strings.Replace(patch, "@@ -1,3 +1,3 @@", "@@ -7,3 +7,3 @@", 1); of(moved) != of(patch) {
		t.Error("a patch that was moved has another digest")
	}
	if other := strings.Replace(patch, "1 << 30", "1 << 20", 1); of(other) == of(patch) {
		t.Error("a patch that changes something else has the same digest")
	}
}

// TestAlso reads the reasons for what else is violated.
func TestAlso(t *testing.T) {
	with := strings.Replace(patch, "says:", "also: recovery (it stays down),\n  ledger (rows are lost)\nsays:", 1)
	m, _, err := parse([]byte(with))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"recovery": "it stays down", "ledger": "rows are lost"}
	if d := cmp.Diff(want, m.Also); d != "" {
		t.Error(d)
	}
}

func TestListRefuses(t *testing.T) {
	for name, c := range map[string]struct{ replace, by, want string }{
		"no experiment": {"experiment: http-flaky, http-down\n", "", `"experiment: NAME"`},
		"no detector":   {"detector: attempts\n", "", `"detector: NAME"`},
		"no sentence":   {"says: Tries again\n", "", `"says: SENTENCE"`},
		"also unread":   {"says:", "also: recovery\nsays:", `"detector (why), detector (why)"`},
		"no change":     {patch[strings.Index(patch, "diff "):], "", "changes no file"},
		"not a diff":    {" package pkg\n", "", "not a unified diff"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "a.patch", strings.Replace(patch, c.replace, c.by, 1))
			_, err := List(dir)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestOverlay(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	original := "package pkg\n\nconst attempts = 3\n"
	put(t, root, "pkg/a.go", original)
	put(t, root, "a.patch", patch)
	file, err := Overlay(Mutant{Name: "a", File: filepath.Join(root, "a.patch")}, root, out)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(out, "a", "pkg", "a.go")
	want := `{
  "Replace": {
    "` + filepath.Join(root, "pkg", "a.go") + `": "` + copied + `"
  }
}
`
	if d := cmp.Diff(want, get(t, file)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff("package pkg\n\nconst attempts = 1 << 30\n", get(t, copied)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(original, get(t, filepath.Join(root, "pkg", "a.go"))); d != "" {
		t.Error("the source was changed:", d)
	}
}

func TestOverlayRefuses(t *testing.T) {
	for name, c := range map[string]struct{ source, patch, want string }{
		"changed source": {"package pkg\n\nconst attempts = 4\n", patch, "does not fit"},
		"no source":      {"", patch, "not in the module"},
		"outside": {
			"package pkg\n", strings.ReplaceAll(patch, "/pkg/a.go", "/../a.go"), "outside of the module",
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if c.source != "" {
				put(t, root, "pkg/a.go", c.source)
			}
			put(t, root, "a.patch", c.patch)
			_, err := Overlay(Mutant{Name: "a", File: filepath.Join(root, "a.patch")}, root, t.TempDir())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(patch))
	f.Add([]byte("experiment: a\ndetector: b\nsays: c\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, files, err := parse(data)
		if err != nil {
			return
		}
		if len(files) == 0 || len(m.Experiments) == 0 || m.Detector == "" || m.Says == "" {
			t.Errorf("accepted %+v with %d files", m, len(files))
		}
	})
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := write(filepath.Join(dir, name), []byte(content)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
