// Package mutant makes deliberately broken builds of a service. A mutant is a
// patch; it is applied to copies of the files it touches, which go build
// -overlay then takes in place of the originals. The sources stay as they are.
package mutant

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
	// Also says why other detectors than that one may find something violated
	// in those experiments, by their kinds; empty where none should.
	Also map[string]string
	// Environment is the only one in which it shows; empty: any.
	Environment string
	// Says is the defect in one sentence.
	Says string
	// Digest is a hash of the lines that the patch takes away and adds, hex. It
	// stays when the code around them moves.
	Digest string
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
// c", "says: …" and, where there is need, "also: d (why), e (why)". Their further
// lines are indented.
func parse(data []byte) (Mutant, []*gitdiff.File, error) {
	files, preamble, err := gitdiff.Parse(bytes.NewReader(data))
	if err != nil {
		return Mutant{}, nil, fmt.Errorf("not a unified diff: %w", err)
	}
	if len(files) == 0 {
		return Mutant{}, nil, errors.New("changes no file")
	}
	m, err := header(preamble)
	m.Digest = digest(files)
	return m, files, err
}

// digest hashes what the patch changes, without its place and surroundings.
func digest(files []*gitdiff.File) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintln(h, f.OldName, f.NewName)
		for _, fragment := range f.TextFragments {
			for _, line := range fragment.Lines {
				if line.Op != gitdiff.OpContext {
					fmt.Fprint(h, line)
				}
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
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
	m := Mutant{Detector: fields["detector"], Says: fields["says"], Environment: fields["environment"]}
	also, err := reasons(fields["also"])
	if err != nil {
		return m, err
	}
	m.Also = also
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

// reason is one entry of the line "also".
var reason = regexp.MustCompile(`^([a-z_]+) \(([^()]+)\)(?:, *|$)`)

// reasons reads "kind (why), kind (why)".
func reasons(line string) (map[string]string, error) {
	if line == "" {
		return nil, nil
	}
	also := map[string]string{}
	for line != "" {
		m := reason.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf(`header: also: %q is not of the form "detector (why), detector (why)"`, line)
		}
		also[m[1]] = m[2]
		line = line[len(m[0]):]
	}
	return also, nil
}
