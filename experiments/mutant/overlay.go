package mutant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// overlay is the file that go build -overlay reads.
type overlay struct {
	// Replace maps a file to the one to read instead; empty means that the
	// file is not there.
	Replace map[string]string
}

// Overlay applies a mutant to copies of the files it touches, which it writes
// under outDir beside a file for go build -overlay, whose path it returns. The
// patch's paths start from moduleRoot. A patch that no longer fits its sources
// is an error that names the file and the line.
func Overlay(m Mutant, moduleRoot, outDir string) (string, error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("apply mutant %s: %w", m.Name, err) }
	data, err := os.ReadFile(m.File)
	if err != nil {
		return fail(err)
	}
	_, files, err := parse(data)
	if err != nil {
		return fail(err)
	}
	root, err := filepath.Abs(moduleRoot)
	if err != nil {
		return fail(err)
	}
	out, err := filepath.Abs(filepath.Join(outDir, m.Name))
	if err != nil {
		return fail(err)
	}
	o := overlay{Replace: map[string]string{}}
	for _, f := range files {
		if err := o.add(f, root, out); err != nil {
			return fail(err)
		}
	}
	data, err = json.MarshalIndent(o, "", "  ")
	if err != nil {
		return fail(err)
	}
	name := filepath.Join(out, "overlay.json")
	if err := write(name, append(data, '\n')); err != nil {
		return fail(err)
	}
	return name, nil
}

func (o overlay) add(f *gitdiff.File, root, out string) error {
	if f.IsRename || f.IsCopy || f.IsBinary {
		return fmt.Errorf("%s: a mutant changes, adds or deletes text files", f.NewName)
	}
	if !f.IsNew && !filepath.IsLocal(f.OldName) || !f.IsDelete && !filepath.IsLocal(f.NewName) {
		return fmt.Errorf("%s: outside of the module", f.NewName)
	}
	if f.IsDelete {
		o.Replace[filepath.Join(root, f.OldName)] = ""
		return nil
	}
	var source []byte
	if !f.IsNew {
		var err error
		source, err = os.ReadFile(filepath.Join(root, f.OldName)) //nolint:gosec // a local name, as checked above
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: not in the module; bring the patch up to date", f.OldName)
		}
		if err != nil {
			return err
		}
	}
	var changed bytes.Buffer
	if err := gitdiff.Apply(&changed, bytes.NewReader(source), f); err != nil {
		return fmt.Errorf("%s: the patch does not fit; bring it up to date: %w", f.NewName, err)
	}
	copied := filepath.Join(out, f.NewName)
	if err := write(copied, changed.Bytes()); err != nil {
		return err
	}
	o.Replace[filepath.Join(root, f.NewName)] = copied
	return nil
}

func write(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil { //nolint:gosec // below the caller's folder
		return err
	}
	return os.WriteFile(name, data, 0o600) //nolint:gosec // below the caller's folder
}
