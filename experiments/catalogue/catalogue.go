// Package catalogue holds the experiments that are shipped with Seatrial. They
// are written for anybody's service: their steps name kinds of dependencies,
// and their numbers are the promises of the subject.
package catalogue

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/seatrial/seatrial/experiments"
)

//go:embed *.yaml
var files embed.FS

// purposes are the labels of which each experiment has one, in the order in
// which a trial tries them: the main job (main), the rest of what is shown of
// timeouts, retries, containment, health and metrics (behaviour), of the
// database (data), and of containers.
var purposes = []string{"main", "behaviour", "data", "container"}

var load = sync.OnceValues(func() ([]experiments.Experiment, error) {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, err
	}
	var all []experiments.Experiment
	for _, name := range names {
		b, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		e, err := experiments.Decode("catalogue/"+name, b)
		if err != nil {
			return nil, fmt.Errorf("read the catalogue: %w", err)
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b experiments.Experiment) int {
		return cmp.Or(slices.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
})

// rank orders experiments: the quick ones first, so that the first verdict is
// soon there; those that use little of the processor last, so that they can run
// beside each other; and by their purpose.
func rank(e experiments.Experiment) []int {
	slow, low := 1, 0
	if slices.Contains(e.Labels, "quick") {
		slow = 0
	}
	if e.Processor == "low" {
		low = 1
	}
	purpose := slices.IndexFunc(purposes, func(p string) bool { return slices.Contains(e.Labels, p) })
	return []int{slow, low, purpose}
}

// All returns the shipped experiments in the order in which they are tried. It
// panics when a file of its own is wrong, which a test rules out.
func All() []experiments.Experiment {
	all, err := load()
	if err != nil {
		panic(err)
	}
	return slices.Clone(all)
}

// File returns the text of a shipped experiment, as an example to copy.
func File(name string) ([]byte, error) {
	b, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("no shipped experiment is called %q: %w", name, err)
	}
	return b, nil
}
