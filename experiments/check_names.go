package experiments

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/yamlfile"
)

// checkNames holds the steps that detectors name against those that there are:
// a detector that looks at a window which never comes would only say so after
// the whole run.
func (r *reader) checkNames(e Experiment, wrong func(at, expected, format string, args ...any)) {
	var steps []string
	for _, s := range e.Method {
		steps = append(steps, s.Name)
	}
	windows, attacks := append(detect.Windows(), steps...), append([]string{"load", "any"}, steps...)
	check := func(at string, list []Expectation) {
		for i, x := range list {
			at := yamlfile.Join(yamlfile.Index(at, i), x.Kind)
			if name := textOf(x.Detector, "During"); name != "" && !known(name, windows) {
				wrong(at+".during", yamlfile.Nearest(name, windows), "no window and no step is called %q", name)
			}
			if name := textOf(x.Detector, "Attack"); name != "" && !known(name, attacks) {
				wrong(at+".attack", yamlfile.Nearest(name, attacks), "no attack is called %q", name)
			}
		}
	}
	check("steady_state.expect", e.SteadyState.Expect)
	check("guardrails", e.Guardrails)
	check("expect", e.Expect)
	for i, s := range e.Method {
		check(yamlfile.Index("method", i)+".until", s.Until)
	}
}

// known reports whether a name is one of these, or that of a step as it is
// called on one of several replicas.
func known(name string, names []string) bool {
	return slices.Contains(names, name) || slices.Contains(names, detect.StepBase(name))
}

// checkExpectations holds the routes and dependencies that detectors name
// against the subject's.
func (p *planner) checkExpectations() error {
	var dependencies []string
	for _, d := range p.Subject.Dependencies {
		dependencies = append(dependencies, d.Name)
	}
	e := p.Experiment
	for _, x := range slices.Concat(e.SteadyState.Expect, e.Guardrails, e.Expect) {
		routes := reflect.Indirect(reflect.ValueOf(x.Detector)).FieldByName("Routes")
		if routes.IsValid() {
			if err := p.checkRoutes(routes.Interface().([]string)); err != nil {
				return fmt.Errorf("expect %s: %w", x.Kind, err)
			}
		}
		if on := textOf(x.Detector, "On"); on != "" && !slices.Contains(dependencies, on) {
			return fmt.Errorf("expect %s: the subject has no dependency called %q; there are %s",
				x.Kind, on, yamlfile.Nearest(on, dependencies))
		}
	}
	return nil
}

// checkRoutes holds names of requests against the subject's traffic.
func (p *planner) checkRoutes(names []string) error {
	var all []string
	for _, r := range p.Subject.Traffic.Requests {
		all = append(all, r.Name)
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return fmt.Errorf("no request of the traffic is called %q; there are %s", name, yamlfile.Nearest(name, all))
		}
	}
	return nil
}

// textOf is a detector's parameter; empty where it has none of that name.
func textOf(d detect.Detector, field string) string {
	v := reflect.Indirect(reflect.ValueOf(d))
	if v.Kind() != reflect.Struct {
		return ""
	}
	if f := v.FieldByName(field); f.IsValid() && f.Kind() == reflect.String {
		return f.String()
	}
	return ""
}
