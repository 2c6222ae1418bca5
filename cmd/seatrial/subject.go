package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/catalogue"
	"github.com/seatrial/seatrial/experiments/environment/backends"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/trial"
)

// choice is what of a subject is to be tried, as flags and arguments say it.
type choice struct {
	file   string
	labels []string
	seed   uint64
	// environment stands over the subject's when it is not empty.
	environment string

	allowed []string // hosts of dependencies that are not on this machine
}

// allowFlag is for commands that hold a subject against what may be touched.
func (c *choice) allowFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&c.allowed, "allow-target", nil,
		"allow dependencies on a `host` that is not this machine; may be given again")
}

func (c *choice) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&c.file, "file", "f", "seatrial.yaml", "the subject `file`")
	f.StringVar(&c.environment, "environment", "", "`backend` that it runs in: "+strings.Join(backends.Names(), " or ")+
		" (default: as the subject says)")
	f.StringSliceVar(&c.labels, "label", nil, "only experiments with one of these `labels`")
	f.Uint64Var(&c.seed, "seed", 0, "`number` that all random draws come from; 0 draws one and prints it")
	cmd.ValidArgsFunction = func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return c.complete(typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// complete proposes experiments by what has been typed.
func (c *choice) complete(typed string) []string {
	_, plans, err := c.all()
	if err != nil {
		return nil
	}
	var out []string
	for _, name := range trial.Names(plans) {
		if strings.HasPrefix(name, typed) {
			out = append(out, name)
		}
	}
	return out
}

// subject reads the subject file.
func (c *choice) subject() (*subject.Subject, error) {
	if c.file == "" {
		return nil, errors.New("-f names no file; leave it out for seatrial.yaml")
	}
	if c.environment != "" {
		if _, err := backends.New(c.environment, nil); err != nil {
			return nil, fmt.Errorf("--environment: %w", err)
		}
	}
	s, err := subject.Load(c.file)
	return s, readable(c.file, err,
		"name the subject file with -f, or write one (seatrial schema subject tells its form)",
		"name a file in it, such as "+filepath.Join(c.file, "seatrial.yaml"))
}

// readable says of a file that could not be read what to do where there is none
// of that name, and where it is a folder. Other errors stay as they are.
func readable(file string, err error, whereNone, whereFolder string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no %s; %s", file, whereNone)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%s is a folder; %s", file, whereFolder)
	}
	return err
}

// all reads the subject and plans everything that there is to try on it.
func (c *choice) all() (*subject.Subject, []experiments.Plan, error) {
	if c.seed == 0 {
		now := uint64(time.Now().UnixNano())
		c.seed = rand.New(rand.NewPCG(now, now)).Uint64N(1_000_000) + 1 //nolint:gosec // a seed is no secret
	}
	s, err := c.subject()
	if err != nil {
		return nil, nil, usage(err)
	}
	s.Environment = cmp.Or(c.environment, s.Environment)
	own, err := trial.Own(s)
	if err != nil {
		return nil, nil, usage(err)
	}
	everything, err := trial.Merge(catalogue.All(), own)
	if err != nil {
		return nil, nil, usage(err)
	}
	plans, err := trial.Plans(everything, s, c.seed)
	return s, plans, usage(err)
}

// chosen is all, cut down to what was asked for.
func (c *choice) chosen(names []string) (*subject.Subject, []experiments.Plan, error) {
	s, plans, err := c.all()
	if err != nil {
		return nil, nil, err
	}
	plans, err = trial.Select(plans, names, c.labels)
	return s, plans, usage(err)
}
