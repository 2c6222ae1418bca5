package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/report"
)

func newList() *cobra.Command {
	var c choice
	cmd := &cobra.Command{
		Use:   "list [EXPERIMENT...]",
		Short: "List what can be tried on the subject, and what it costs",
		Long: `List the experiments of the catalogue and the owner's own, each instantiated for
every dependency of the subject that it can break: how long one run takes
(without starting and stopping the environment), whom it breaks, its labels and
the items of the production checklist that it speaks to.

Those that use little of the processor (marked with ~) run two at a time. On a
narrow terminal some columns are left out; seatrial list | cat shows all.`,
		Example: `  seatrial list
  seatrial list --label quick
  seatrial list 'http-*' -f services/orders/seatrial.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, plans, err := c.chosen(args)
			if err != nil {
				return err
			}
			return list(cmd.OutOrStdout(), plans)
		},
	}
	c.flags(cmd)
	return cmd
}

func list(w io.Writer, plans []experiments.Plan) error {
	kept := columnsFor(terminalWidth(w))
	table := tabwriter.NewWriter(readably(w), 0, 0, 2, ' ', 0)
	line := func(cells ...string) {
		var shown []string
		for _, column := range kept {
			shown = append(shown, cells[column])
		}
		fmt.Fprintln(table, strings.Join(shown, "\t"))
	}
	line("EXPERIMENT", "TIME", "BREAKS", "LABELS", "CHECKLIST", "TITLE")
	var total time.Duration
	for i := range plans {
		p := &plans[i]
		took, breaks, title := "-", "-", "not applicable: "+p.NotApplicable
		if p.NotApplicable == "" {
			length := p.Duration()
			total += length
			took, breaks, title = report.Span(length.Round(time.Second/10)), dash(strings.Join(targetKinds(p), ",")),
				p.Experiment.Title
			if p.Experiment.Processor == "low" {
				took = "~" + took
			}
		}
		line(p.Name, took, breaks, dash(strings.Join(p.Experiment.Labels, ",")),
			dash(strings.Join(checklist(p), ",")), report.Clean(title))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s one after the other, without environments and second attempts\n", report.Span(total))
	return err
}

// columnsFor are the columns of the list that a terminal has room for; zero: no
// terminal, and all of them.
func columnsFor(width int) []int {
	switch {
	case width == 0 || width >= wideTerminal:
		return []int{0, 1, 2, 3, 4, 5}
	case width >= wideTerminal/2:
		return []int{0, 1, 2, 5}
	}
	return []int{0, 1, 5}
}

// wideTerminal is a terminal, in characters, on which the whole list can be read.
const wideTerminal = 200

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// targetKinds are the kinds of what the plan's steps act on.
func targetKinds(p *experiments.Plan) []string {
	var kinds []string
	for _, s := range p.Steps {
		kind := ""
		if s.Target != "" {
			kind = experiments.KindReplica
		}
		for _, d := range p.Subject.Dependencies {
			if d.Name == s.Target {
				kind = d.Kind
			}
		}
		if kind != "" && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// checklist are the items that the plan's detectors speak to.
func checklist(p *experiments.Plan) []string {
	var items []string
	for _, e := range p.Experiment.Expect {
		info, _ := detect.Describe(e.Kind)
		for _, item := range info.Checklist {
			if !slices.Contains(items, item) {
				items = append(items, item)
			}
		}
	}
	return items
}

func newPlan() *cobra.Command {
	var c choice
	cmd := &cobra.Command{
		Use:   "plan [EXPERIMENT...]",
		Short: "Show what would be done, second by second, without doing it",
		Long: `Resolve experiments for the subject and print the plans: the load, every step
with its time and its target, and what is expected. Nothing is started. The same
seed gives the same plan.`,
		Example: `  seatrial plan
  seatrial plan http-slow/payments --seed 7`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, plans, err := c.chosen(args)
			if err != nil {
				return err
			}
			if err := s.Remote(c.allowed); err != nil {
				return usage(err)
			}
			for i := range plans {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				if err := plans[i].Print(cmd.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.flags(cmd)
	c.allowFlag(cmd)
	return cmd
}
