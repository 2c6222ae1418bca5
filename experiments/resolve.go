package experiments

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/yamlfile"
	"github.com/seatrial/seatrial/faults"
)

// resolve returns a copy of the experiment with its expressions worked out on
// the subject's promises and its defaults filled in. Nothing of it is shared that a plan
// changes.
func resolve(e Experiment, s *subject.Subject) (Experiment, error) {
	r := resolver{s.Promises, s.Detectors}
	if err := r.set(&e, e.expressions); err != nil {
		return e, fmt.Errorf("experiment %s: %w", e.Name, err)
	}
	e.Method = slices.Clone(e.Method)
	for i := range e.Method {
		if err := r.step(&e.Method[i]); err != nil {
			return e, fmt.Errorf("experiment %s: step %q: %w", e.Name, e.Method[i].Name, err)
		}
	}
	for _, list := range []*[]Expectation{&e.SteadyState.Expect, &e.Guardrails, &e.Expect} {
		*list = slices.Clone(*list)
		for i := range *list {
			if err := r.expectation(&(*list)[i]); err != nil {
				return e, fmt.Errorf("experiment %s: expect %s: %w", e.Name, (*list)[i].Kind, err)
			}
		}
	}
	e.expressions = nil
	if e.Load.Rate == 0 {
		e.Load.Rate = s.Traffic.Rate
	}
	return e, fill(&e)
}

// Defaults of an experiment.
const (
	defaultSteady   = 3 * time.Second
	defaultRecovery = 5 * time.Second
	defaultSettle   = time.Second
	defaultSteps    = 5
)

func fill(e *Experiment) error {
	if e.Version == 0 {
		e.Version = FileVersion
	}
	if e.Processor == "" {
		e.Processor = "high"
	}
	if e.SteadyState.For == 0 {
		e.SteadyState.For = defaultSteady
	}
	if e.Recovery == 0 {
		e.Recovery = defaultRecovery
	}
	if e.Settle == 0 {
		e.Settle = defaultSettle
	}
	if e.Load.Shape == "" {
		e.Load.Shape = "constant"
	}
	if e.Load.Shape == "steps" && e.Load.Steps == 0 {
		e.Load.Steps = defaultSteps
	}
	return fillExpectations(e)
}

// gateLeast is how many requests the gate needs at the least.
const gateLeast = 20

// fillExpectations states what every experiment holds a service to: that it was
// steady before the method, and is steady again after it.
func fillExpectations(e *Experiment) error {
	if e.Load.Rate < 0 {
		return nil
	}
	if len(e.SteadyState.Expect) == 0 {
		d, err := detect.New("success")
		if err != nil {
			return err
		}
		if success, ok := d.(*detect.Success); ok {
			// a slow subject cannot send 100 requests in a short steady state
			hits := int(e.Load.Rate * e.SteadyState.For.Seconds())
			success.MinSamples = max(gateLeast, min(success.MinSamples, hits/2))
		}
		e.SteadyState.Expect = []Expectation{{Kind: "success", Detector: d}}
	}
	for _, x := range e.SteadyState.Expect {
		judgeSteady(x.Detector)
	}
	if len(e.Method) == 0 || slices.ContainsFunc(e.Expect, func(x Expectation) bool { return x.Kind == "recovery" }) {
		return nil
	}
	d, err := detect.New("recovery")
	if err != nil {
		return err
	}
	e.Expect = append(e.Expect, Expectation{Kind: "recovery", Detector: d})
	return nil
}

// judgeSteady has a detector of the gate look at the steady state, unless it
// says what it looks at.
func judgeSteady(d detect.Detector) {
	v := reflect.ValueOf(d)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return
	}
	during := v.Elem().FieldByName("During")
	if during.IsValid() && during.Kind() == reflect.String && during.String() == "" {
		during.SetString(detect.DuringSteady)
	}
}

type resolver struct {
	promises  journal.Promises
	detectors subject.Detectors
}

func (r resolver) set(into any, expressions map[string]string) error {
	for _, path := range slices.Sorted(maps.Keys(expressions)) {
		text, err := evaluate(expressions[path], r.promises)
		if err != nil {
			return err
		}
		if err := yamlfile.Set(into, path, text); err != nil {
			return err
		}
	}
	return nil
}

func (r resolver) step(s *Step) error {
	if s.Action == nil {
		return fmt.Errorf("no action")
	}
	s.Action = cloneAction(s.Action)
	if s.Name == "" {
		s.Name = s.Kind
	}
	own := maps.Clone(s.expressions)
	prefix := s.Class + "." + s.Kind
	maps.DeleteFunc(own, func(path, _ string) bool { return path != "at" && path != "for" })
	times := struct {
		At  time.Duration `yaml:"at"`
		For time.Duration `yaml:"for"`
	}{s.At, s.For}
	if err := r.set(&times, own); err != nil {
		return err
	}
	s.At, s.For = times.At, times.For
	if err := r.set(paramsOf(s.Action), below(prefix, s.expressions)); err != nil {
		return err
	}
	s.expressions = nil
	if v, ok := paramsOf(s.Action).(validated); ok {
		if err := v.Validate(); err != nil {
			return err
		}
	}
	return r.until(s)
}

// until resolves the detectors that end a step early.
func (r resolver) until(s *Step) error {
	s.Until = slices.Clone(s.Until)
	for i := range s.Until {
		if err := r.expectation(&s.Until[i]); err != nil {
			return fmt.Errorf("until %s: %w", s.Until[i].Kind, err)
		}
		if _, ok := s.Until[i].Detector.(detect.Sequential); !ok {
			return fmt.Errorf("until: %s does not know when it has seen enough", s.Until[i].Kind)
		}
	}
	return s.endable()
}

// endable says why a step with until cannot be ended early.
func (s *Step) endable() error {
	if _, attack := s.Action.(*Attack); len(s.Until) > 0 && s.Class == ClassOperation && !attack {
		return fmt.Errorf("until: %s ends by itself", s.Kind)
	}
	return nil
}

func (r resolver) expectation(e *Expectation) error {
	if e.Detector == nil {
		return fmt.Errorf("no detector")
	}
	e.Detector = clone(e.Detector).(detect.Detector)
	err := r.set(e.Detector, e.expressions)
	r.detectors.Adjust(e.Kind, e.Detector)
	e.expressions = nil
	return err
}

func cloneAction(a Action) Action {
	if f, ok := a.(*FaultAction); ok {
		return &FaultAction{Fault: clone(f.Fault).(faults.Fault)}
	}
	return clone(a).(Action)
}

// clone copies the struct behind a pointer; other values are their own copies.
func clone(v any) any {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer {
		return v
	}
	c := reflect.New(p.Type().Elem())
	c.Elem().Set(p.Elem())
	return c.Interface()
}
