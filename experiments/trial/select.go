package trial

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/yamlfile"
)

// Own reads the experiments that a subject's owner keeps beside it: the files
// and folders that the subject names, or the folder "experiments" beside the
// subject file, where there is one. The error lists every mistake in them.
func Own(s *subject.Subject) ([]experiments.Experiment, error) {
	places := s.Experiments
	if len(places) == 0 {
		if info, err := os.Stat(filepath.Join(s.Dir, "experiments")); err == nil && info.IsDir() {
			places = []string{"experiments"}
		}
	}
	var own []experiments.Experiment
	var errs []error
	for _, place := range places {
		if !filepath.IsAbs(place) {
			place = filepath.Join(s.Dir, place)
		}
		files, err := filesIn(place)
		errs = append(errs, err)
		for _, file := range files {
			e, err := experiments.LoadFile(file)
			errs = append(errs, err)
			if err == nil {
				own = append(own, e)
			}
		}
	}
	return own, errors.Join(errs...)
}

// filesIn is the file itself, or the YAML files of a folder in the order of
// their names.
func filesIn(place string) ([]string, error) {
	info, err := os.Stat(place)
	if err != nil {
		return nil, fmt.Errorf("read experiments: %w", err)
	}
	if !info.IsDir() {
		return []string{place}, nil
	}
	entries, err := os.ReadDir(place)
	if err != nil {
		return nil, fmt.Errorf("read experiments: %w", err)
	}
	var files []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
			files = append(files, filepath.Join(place, e.Name()))
		}
	}
	return files, nil
}

// Merge puts shipped experiments and own ones together: the own ones come
// last, and take the place of a shipped one of the same name.
func Merge(shipped, own []experiments.Experiment) ([]experiments.Experiment, error) {
	byName := map[string]string{}
	for _, e := range own {
		if first, twice := byName[e.Name]; twice {
			return nil, fmt.Errorf("two experiments are called %s: %s and %s; rename one", e.Name, first, e.File)
		}
		byName[e.Name] = e.File
	}
	all := slices.DeleteFunc(slices.Clone(shipped), func(e experiments.Experiment) bool {
		_, replaced := byName[e.Name]
		return replaced
	})
	return append(all, own...), nil
}

// Plans resolves the experiments for a subject, all with the same seed.
func Plans(all []experiments.Experiment, s *subject.Subject, seed uint64) ([]experiments.Plan, error) {
	var plans []experiments.Plan
	var errs []error
	for _, e := range all {
		p, err := experiments.NewPlan(e, s, seed)
		errs = append(errs, err)
		plans = append(plans, p...)
	}
	return plans, errors.Join(errs...)
}

// UnknownError says that nothing is called by a name that was asked for.
type UnknownError struct {
	What, Name string
	Nearest    string // the likeliest names; empty when none is like it
}

// Error tells the name and the likeliest ones.
func (e *UnknownError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf("no %s is called %q; `seatrial list` shows them all", e.What, e.Name)
	}
	return fmt.Sprintf("no %s is called %q; did you mean %s? `seatrial list` shows them all", e.What, e.Name, e.Nearest)
}

// Select keeps the plans that were asked for, in their own order: by a plan's
// name ("http-slow/payments"), an experiment's ("http-slow"), a pattern
// ("http-*") or a label. No names and no labels mean all. A name or a label
// that nothing has is an [UnknownError].
func Select(plans []experiments.Plan, names, labels []string) ([]experiments.Plan, error) {
	matched := func(p experiments.Plan, name string) bool {
		ok, _ := path.Match(name, p.Experiment.Name)
		full, _ := path.Match(name, p.Name)
		return name == p.Name || name == p.Experiment.Name || ok || full
	}
	for _, name := range names {
		if !slices.ContainsFunc(plans, func(p experiments.Plan) bool { return matched(p, name) }) {
			return nil, unknown("experiment", name, Names(plans))
		}
	}
	for _, label := range labels {
		if !slices.ContainsFunc(plans, func(p experiments.Plan) bool {
			return slices.Contains(p.Experiment.Labels, label)
		}) {
			return nil, unknown("label", label, labelsOf(plans))
		}
	}
	var kept []experiments.Plan
	for _, p := range plans {
		byName := len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return matched(p, n) })
		byLabel := len(labels) == 0 || slices.ContainsFunc(labels, func(l string) bool {
			return slices.Contains(p.Experiment.Labels, l)
		})
		if byName && byLabel {
			kept = append(kept, p)
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("no experiment has both a name of %s and a label of %s",
			strings.Join(names, ", "), strings.Join(labels, ", "))
	}
	return kept, nil
}

func unknown(what, name string, choices []string) error {
	e := &UnknownError{What: what, Name: name}
	if like := yamlfile.Like(name, choices); len(like) > 0 {
		e.Nearest = yamlfile.NearestFew(name, like, 3)
	}
	return e
}

// Names are the names that [Select] knows: of plans, and of experiments that
// stand for several plans.
func Names(plans []experiments.Plan) []string {
	var names []string
	for _, p := range plans {
		for _, n := range []string{p.Experiment.Name, p.Name} {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

func labelsOf(plans []experiments.Plan) []string {
	var labels []string
	for _, p := range plans {
		labels = append(labels, p.Experiment.Labels...)
	}
	slices.Sort(labels)
	return slices.Compact(labels)
}
