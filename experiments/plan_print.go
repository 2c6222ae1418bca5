package experiments

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"
)

// String is the plan as a table, as [Plan.Print] writes it.
func (p *Plan) String() string {
	var b strings.Builder
	_ = p.Print(&b) // a Builder never fails
	return b.String()
}

// Print writes the plan for people: what is done when to what, under which
// load, and what is expected.
func (p *Plan) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", p.Name, p.Experiment.Title)
	if p.NotApplicable != "" {
		fmt.Fprintf(&b, "  not applicable: %s\n", p.NotApplicable)
		_, err := io.WriteString(w, b.String())
		return err
	}
	fmt.Fprintf(&b, "  seed      %d\n", p.Seed)
	fmt.Fprintf(&b, "  replicas  %s\n", strings.Join(ReplicaNames(p.Subject, p.Subject.Service.Replicas), ", "))
	fmt.Fprintf(&b, "  load      %s\n", p.loadInWords())
	fmt.Fprintf(&b, "  length    %v\n\n", p.Duration())
	p.printTimes(&b)
	for _, part := range []struct {
		name string
		list []Expectation
	}{
		{"gate", p.Experiment.SteadyState.Expect},
		{"guardrail", p.Experiment.Guardrails},
		{"expect", p.Experiment.Expect},
	} {
		for i, e := range part.list {
			label := part.name
			if i > 0 {
				label = ""
			}
			fmt.Fprintf(&b, "  %-9s %s\n", label, e)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *Plan) loadInWords() string {
	if p.Rate == 0 {
		return "none but the method's own"
	}
	l := p.Experiment.Load
	text := fmt.Sprintf("%g/s", p.Rate)
	switch l.Shape {
	case "ramp", "spike":
		text = fmt.Sprintf("%s of %g/s to %g/s", l.Shape, p.Rate, l.To)
	case "steps":
		text = fmt.Sprintf("%d steps from %g/s to %g/s", l.Steps, p.Rate, l.To)
	}
	if len(l.Routes) > 0 {
		text += " on " + strings.Join(l.Routes, ", ")
	}
	if l.Uses != "" {
		text += ", which use " + l.Uses
	}
	return text
}

func (p *Plan) printTimes(out *strings.Builder) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  at\tfor\tstep\taction\ton\n")
	fmt.Fprintf(t, "  0s\t%v\t\tsteady state\t\n", p.SteadyFor)
	for _, s := range p.Steps {
		fmt.Fprintf(t, "  %v\t%s\t%s\t%s: %s\t%s\n",
			s.At, s.lengthInWords(), s.Name, s.Class, s.Detail, cmp.Or(s.Target, "-"))
	}
	recovery := p.SteadyFor + p.MethodFor
	fmt.Fprintf(t, "  %v\t%v\t\trecovery\t\n", recovery, p.RecoverFor)
	fmt.Fprintf(t, "  %v\t%v\t\tsettle\t\n", recovery+p.RecoverFor, p.SettleFor)
	_ = t.Flush() // a Builder never fails
	for line := range strings.Lines(b.String()) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	out.WriteByte('\n')
}

func (s PlannedStep) lengthInWords() string {
	switch {
	case s.For == 0:
		return "its end"
	case len(s.Until) > 0:
		return "≤ " + s.For.String()
	}
	return s.For.String()
}

// String is the expectation on one line, as a file would have it.
func (e Expectation) String() string {
	short, err := encodeExpectation(e)
	if err != nil {
		return e.Kind
	}
	b, err := yaml.MarshalWithOptions(short, yaml.Flow(true))
	if err != nil {
		return e.Kind
	}
	text := strings.TrimSpace(string(b))
	if inner, ok := strings.CutPrefix(text, "{"); ok {
		text = strings.TrimSuffix(inner, "}")
	}
	return text
}
