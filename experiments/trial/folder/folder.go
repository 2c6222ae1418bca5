// Package folder is the form of a trial on disk: trial.json beside the reports,
// and one folder per run with its run.json and its journal. Whoever has the
// folder can judge and report the trial again, on any machine.
package folder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/journal"
)

// Format is the version of the form of trial.json and run.json.
const Format = 1

// Mode is that of a trial's folders: other tools of other users may read them.
const Mode fs.FileMode = 0o755

// Names of the files of a trial and of a run.
const (
	TrialFile   = "trial.json"
	SummaryFile = "summary.txt"
	JUnitFile   = "junit.xml"
	ReportFile  = "report.html"
	RunFile     = "run.json"
)

// Trial is what trial.json holds: everything about one call of seatrial but
// the journals.
type Trial struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`
	Started time.Time `json:"started"`
	// Ended is zero while the trial runs, or when it was killed.
	Ended time.Time `json:"ended,omitzero"`
	// Outcome is the whole trial's; empty while it runs.
	Outcome experiments.Outcome `json:"outcome,omitempty"`
	// Error says what stopped the trial as a whole, such as a service that
	// does not build. Empty when nothing did.
	Error       string            `json:"error,omitempty"`
	Seed        uint64            `json:"seed"`
	Service     string            `json:"service"`
	SubjectFile string            `json:"subject_file,omitempty"`
	Digest      string            `json:"subject_digest,omitempty"` // hex SHA-256 of the subject file
	Environment string            `json:"environment"`
	Versions    map[string]string `json:"versions,omitempty"` // seatrial, go, os, ...
	CPUs        int               `json:"cpus,omitempty"`
	Promises    journal.Promises  `json:"promises"`
	Defaults    []string          `json:"defaults,omitempty"` // promises the owner did not state
	Experiments []Experiment      `json:"experiments"`

	// Dir is where it was read from.
	Dir string `json:"-"`
}

// Experiment is one experiment of a trial over all its attempts.
type Experiment struct {
	Name        string   `json:"name"` // with its target: "http-slow/payments"
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	Target      string   `json:"target,omitempty"`
	Labels      []string `json:"labels,omitempty"`
	// Expect lists the kinds of detectors that it asks, in the file's order.
	Expect  []string            `json:"expect,omitempty"`
	Verdict experiments.Verdict `json:"verdict"`
	// Took is the time of all attempts, environments included; zero before
	// the verdict.
	Took time.Duration `json:"took,omitempty"`
	// Runs are the attempts' folders, relative to the trial's, in their order.
	Runs []string `json:"runs,omitempty"`
}

// Run is what run.json holds: one attempt of one experiment, enough to judge
// its journal again.
type Run struct {
	Format     int               `json:"format"`
	Trial      string            `json:"trial"`
	Experiment string            `json:"experiment"`
	Attempt    int               `json:"attempt"`
	Seed       uint64            `json:"seed"`
	Versions   map[string]string `json:"versions,omitempty"`
	Plan       json.RawMessage   `json:"plan"`
	// Error says why the run could not be carried out; Aborted that it was
	// ended from outside.
	Error   string `json:"error,omitempty"`
	Stack   string `json:"stack,omitempty"` // of a panic that was the error
	Aborted bool   `json:"aborted,omitempty"`
	// Took is the time from the start of its environment to its end.
	Took time.Duration `json:"took,omitempty"`
	// Verdict is what was said of this attempt alone; nil before it is judged.
	Verdict *experiments.Attempt `json:"verdict,omitempty"`
}

// RunPath is an attempt's folder, relative to the trial's.
func RunPath(experiment string, attempt int) string {
	return filepath.Join(filepath.FromSlash(experiment), strconv.Itoa(attempt))
}

// Read reads the trial.json of a folder, or of the folder that a path such as
// runs/latest points at.
func Read(dir string) (*Trial, error) {
	var t Trial
	if err := readJSON(filepath.Join(dir, TrialFile), &t); err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil, fmt.Errorf("open trial %s: there is no %s in it; "+
				"name the folder of a trial, such as runs/latest", dir, TrialFile)
		}
		return nil, fmt.Errorf("open trial %s: %w", dir, err)
	}
	if t.Format != Format {
		return nil, fmt.Errorf("open trial %s: its format is %d, this version reads %d; "+
			"use the seatrial that wrote it", dir, t.Format, Format)
	}
	for _, e := range t.Experiments {
		for _, run := range e.Runs {
			if !filepath.IsLocal(run) {
				return nil, fmt.Errorf("open trial %s: the run %q lies outside of it", dir, run)
			}
		}
	}
	t.Dir = dir
	return &t, nil
}

// Write writes the trial.json of a trial into its folder, at once or not at all.
func (t *Trial) Write() error {
	t.Format = Format
	return writeJSON(filepath.Join(t.Dir, TrialFile), t)
}

// ReadRun reads the run.json of an attempt's folder.
func ReadRun(dir string) (*Run, error) {
	var r Run
	if err := readJSON(filepath.Join(dir, RunFile), &r); err != nil {
		return nil, fmt.Errorf("open run %s: %w", dir, err)
	}
	return &r, nil
}

// Write writes the run.json of an attempt's folder, at once or not at all.
func (r *Run) Write(dir string) error {
	r.Format = Format
	return writeJSON(filepath.Join(dir, RunFile), r)
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return WriteFile(path, append(b, '\n'))
}

// WriteFile replaces a file at once: a reader sees the old content or the new.
func WriteFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, werr := tmp.Write(b)
	err = errors.Join(werr, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}
