package mutant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listed is a package as go list tells of it.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles, Imports        []string
	IgnoredGoFiles          []string // by their build tags
	DepOnly                 bool
}

// checker checks the types of some packages as an overlay has them. That is
// what the compiler would find, at a fiftieth of its time.
type checker struct {
	fset   *token.FileSet
	built  types.Importer // of what no overlay changes
	checks []listed       // each after what it imports
}

func newChecker(t *testing.T, root, tags, pattern string) *checker {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags", tags, "-export", "-deps", "-json", pattern)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	c := &checker{fset: token.NewFileSet()}
	exports := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if !p.DepOnly {
			c.checks = append(c.checks, p)
		}
	}
	c.built = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	return c
}

// replaced reads which files an overlay puts in the place of others.
func replaced(t *testing.T, file string) map[string]string {
	t.Helper()
	var o overlay
	if err := json.Unmarshal([]byte(get(t, file)), &o); err != nil {
		t.Fatal(err)
	}
	return o.Replace
}

// check checks the packages that the overlay changes and those that import
// them.
func (c *checker) check(replace map[string]string) error {
	changed := anew{built: c.built, packages: map[string]*types.Package{}}
	for _, p := range c.checks {
		files := overlaid(p, replace)
		if files == nil && !changed.any(p.Imports) {
			continue
		}
		if files == nil {
			files = sources(p)
		}
		made, err := c.checkPackage(p, files, changed)
		if err != nil {
			return err
		}
		changed.packages[p.ImportPath] = made
	}
	if len(changed.packages) == 0 {
		return errNothingChanged
	}
	return nil
}

var errNothingChanged = errors.New("the overlay changes no file of the packages that are checked")

func (c *checker) checkPackage(p listed, files []string, from types.Importer) (*types.Package, error) {
	var parsed []*ast.File
	for _, file := range files {
		f, err := parser.ParseFile(c.fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, f)
	}
	made, err := (&types.Config{Importer: from}).Check(p.ImportPath, c.fset, parsed, nil)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", p.ImportPath, err)
	}
	return made, nil
}

func sources(p listed) []string {
	var files []string
	for _, name := range p.GoFiles {
		files = append(files, filepath.Join(p.Dir, name))
	}
	return files
}

// overlaid is what a package consists of under an overlay; nil when that does
// not concern it.
func overlaid(p listed, replace map[string]string) []string {
	var files []string
	left := map[string]string{}
	for file, other := range replace {
		ignored := slices.Contains(p.IgnoredGoFiles, filepath.Base(file))
		if filepath.Dir(file) == p.Dir && strings.HasSuffix(file, ".go") && !ignored {
			left[file] = other
		}
	}
	if len(left) == 0 {
		return nil
	}
	for _, file := range sources(p) {
		if other, ok := left[file]; ok {
			delete(left, file)
			file = other
		}
		if file != "" {
			files = append(files, file)
		}
	}
	for _, added := range left {
		files = append(files, added)
	}
	return files
}

// anew imports packages that were checked under an overlay, and others as they
// are.
type anew struct {
	built    types.Importer
	packages map[string]*types.Package
}

// Import finds a package by its path.
func (a anew) Import(path string) (*types.Package, error) {
	if p := a.packages[path]; p != nil {
		return p, nil
	}
	return a.built.Import(path)
}

func (a anew) any(paths []string) bool {
	for _, path := range paths {
		if a.packages[path] != nil {
			return true
		}
	}
	return false
}

// TestChecker has the checker find what does not compile.
func TestChecker(t *testing.T) {
	root := t.TempDir()
	put(t, root, "go.mod", "module example.com/m\n\ngo 1.26\n")
	put(t, root, "a/a.go", "package a\n\nfunc F() int { return 1 }\n")
	put(t, root, "b/b.go", "package b\n\nimport (\n\t_ \"os\"\n\n\t\"example.com/m/a\"\n)\n\nvar N int = a.F()\n")
	c := newChecker(t, root, "", "./...")
	for name, change := range map[string]struct{ file, source, want string }{
		"fine":            {"a/a.go", "package a\n\nfunc F() int { return 2 }\n", ""},
		"added":           {"a/more.go", "package a\n\nconst More = 1\n", ""},
		"syntax":          {"a/a.go", "package a\n\nfunc F() int {\n", "expected"},
		"type":            {"a/a.go", "package a\n\nfunc F() int { return \"\" }\n", "cannot use"},
		"unused variable": {"a/a.go", "package a\n\nfunc F() int { x := 1; return 2 }\n", "declared and not used"},
		"unused import":   {"a/a.go", "package a\n\nimport \"os\"\n\nfunc F() int { return 2 }\n", "imported and not used"},
		"who imports it":  {"a/a.go", "package a\n\nfunc F() string { return \"\" }\n", "check example.com/m/b"},
		"elsewhere":       {"c/c.go", "package c\n", "changes no file"},
	} {
		t.Run(name, func(t *testing.T) {
			other := filepath.Join(t.TempDir(), "other.go")
			put(t, filepath.Dir(other), filepath.Base(other), change.source)
			err := c.check(map[string]string{filepath.Join(root, change.file): other})
			if change.want == "" && err != nil || change.want != "" &&
				(err == nil || !strings.Contains(err.Error(), change.want)) {
				t.Errorf("got %v, want %q", err, change.want)
			}
		})
	}
}
