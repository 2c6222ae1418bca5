package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/trial"
)

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate [FILE...]",
		Short: "Look for mistakes in subject and experiment files",
		Long: `Read files strictly and tell every mistake in them, with the line and what was
expected there. Without a name that is seatrial.yaml. A file with a service is a
subject, any other an experiment. The owner's own experiments beside a subject
are read too, and planned for it. It exits with 64 when there is a mistake.`,
		Example: `  seatrial validate
  seatrial validate experiments/*.yaml`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if len(files) == 0 {
				files = []string{"seatrial.yaml"}
			}
			var errs []error
			for _, file := range files {
				errs = append(errs, validate(cmd.OutOrStdout(), file))
			}
			return usage(errors.Join(errs...))
		},
	}
}

func validate(w io.Writer, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return readable(file, fmt.Errorf("validate %s: %w", file, err), "name the files to look at",
			"name the files in it: "+filepath.Join(file, "*.yaml"))
	}
	var top map[string]any
	if yaml.UnmarshalWithOptions(b, &top, yaml.AllowDuplicateMapKey()) == nil {
		for _, key := range []string{"service", "dependencies", "traffic", "promises"} {
			if _, is := top[key]; is {
				return validateSubject(w, file)
			}
		}
	}
	e, err := experiments.LoadFile(file)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s: experiment %s, %s, %s\n",
		file, e.Name, plural(len(e.Method), "step"), plural(len(e.Expect), "expectation"))
	return err
}

func validateSubject(w io.Writer, file string) error {
	s, err := subject.Load(file)
	if err != nil {
		return err
	}
	own, err := trial.Own(s)
	if err != nil {
		return err
	}
	if _, err := trial.Merge(nil, own); err != nil {
		return err
	}
	if _, err := trial.Plans(own, s, 1); err != nil {
		return err
	}
	var names []string
	for _, d := range s.Dependencies {
		names = append(names, d.Name)
	}
	_, err = fmt.Fprintf(w, "%s: subject %s, dependencies: %s; %s, %s of its own, %s left at the default\n",
		file, s.Name, dash(strings.Join(names, ", ")), plural(len(s.Traffic.Requests), "request"),
		plural(len(own), "experiment"), plural(len(s.Defaults), "promise"))
	return err
}
