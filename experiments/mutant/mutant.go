// Package mutant makes deliberately broken builds of a service. A mutant is a
// patch; it is applied to copies of the files it touches, which go build
// -overlay then takes in place of the originals. The sources stay as they are.
package mutant

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// Extension is how the names of mutants' files end.
const Extension = ".patch"

// Mutant is a service with one deliberate defect.
type Mutant struct {
	// Name is the file's name without its extension.
	Name string
	// Experiments are those that must catch it, the quickest first. At least
	// one.
	Experiments []string
	// Detector is the one whose finding must be "violated".
	Detector string
	// Says is the defect in one sentence.
	Says string
	// File is the patch's path.
	File string
}

// List reads the mutants in a folder, in the order of their names.
func List(dir string) ([]Mutant, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"+Extension))
	if err != nil {
		return nil, fmt.Errorf("list mutants in %s: %w", dir, err)
	}
	mutants := make([]Mutant, 0, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read mutant: %w", err)
		}
		m, _, err := parse(data)
		if err != nil {
			return nil, fmt.Errorf("read mutant %s: %w", file, err)
		}
		m.Name, m.File = strings.TrimSuffix(filepath.Base(file), Extension), file
		mutants = append(mutants, m)
	}
	return mutants, nil
}

// parse reads a patch and the lines before it: "experiment: a, b", "detector:
// c" and "says: …", whose further lines are indented.
func parse(data []byte) (Mutant, []*gitdiff.File, error) {
	files, preamble, err := gitdiff.Parse(bytes.NewReader(data))
	if err != nil {
		return Mutant{}, nil, fmt.Errorf("not a unified diff: %w", err)
	}
	if len(files) == 0 {
		return Mutant{}, nil, errors.New("changes no file")
	}
	m, err := header(preamble)
	return m, files, err
}

func header(preamble string) (Mutant, error) {
	fields := map[string]string{}
	last := ""
	lines := bufio.NewScanner(strings.NewReader(preamble))
	for lines.Scan() {
		line := lines.Text()
		if last != "" && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) {
			fields[last] += " " + strings.TrimSpace(line)
			continue
		}
		name, value, found := strings.Cut(line, ":")
		if !found {
			last = ""
			continue
		}
		last = strings.TrimSpace(name)
		fields[last] = strings.TrimSpace(value)
	}
	if err := lines.Err(); err != nil {
		return Mutant{}, fmt.Errorf("header: %w", err)
	}
	m := Mutant{Detector: fields["detector"], Says: fields["says"]}
	for name := range strings.SplitSeq(fields["experiment"], ",") {
		if name = strings.TrimSpace(name); name != "" {
			m.Experiments = append(m.Experiments, name)
		}
	}
	switch {
	case len(m.Experiments) == 0:
		return m, errors.New(`header: no line "experiment: NAME"`)
	case m.Detector == "":
		return m, errors.New(`header: no line "detector: NAME"`)
	case m.Says == "":
		return m, errors.New(`header: no line "says: SENTENCE"`)
	}
	return m, nil
}
