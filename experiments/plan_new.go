package experiments

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/yamlfile"
	"github.com/seatrial/seatrial/faults"
	"github.com/seatrial/seatrial/loadgen"
)

// Words of a step's on.
const (
	OnReplica  = "replica"  // one replica, drawn from the seed, the same in all steps of a plan
	OnReplicas = "replicas" // each replica
)

// dependencyKinds are those words of `on` and `uses` that stand for every
// dependency of a kind.
var dependencyKinds = []string{subject.Postgres, subject.Redis, subject.HTTP, subject.TCP}

// NewPlan resolves an experiment for a subject: one plan for each dependency of
// the kind that its steps name, otherwise one. A subject that has nothing to
// try the experiment on gives one plan with the reason in
// [Plan.NotApplicable]. The same seed gives the same plans. The error tells what
// makes no sense for any subject, or names something this one does not have.
func NewPlan(e Experiment, s *subject.Subject, seed uint64) ([]Plan, error) {
	resolved, err := resolve(e, s)
	if err != nil {
		return nil, err
	}
	kind := kindOf(resolved)
	if kind == "" {
		d := usedOnly(resolved, s)
		return planFor(resolved, s, seed, d.Kind, d.Name)
	}
	var plans []Plan
	for _, d := range s.Dependencies {
		if d.Kind != kind {
			continue
		}
		p, err := planFor(resolved, s, seed, kind, d.Name)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p...)
	}
	if len(plans) == 0 {
		reason := fmt.Sprintf("%s has no dependency of kind %s", s.Name, kind)
		plans = []Plan{{Name: e.Name, Experiment: resolved, Subject: s, Seed: seed, NotApplicable: reason}}
	}
	return plans, nil
}

// kindOf is the dependency kind that the experiment is instantiated for: the
// first that its steps name, else that of its load; empty when they name none.
// Of another kind a step takes the first dependency that there is.
func kindOf(e Experiment) string {
	for _, step := range e.Method {
		if slices.Contains(dependencyKinds, step.On) {
			return step.On
		}
	}
	if slices.Contains(dependencyKinds, e.Load.Uses) {
		return e.Load.Uses
	}
	return ""
}

// usedOnly is the dependency that the load of an experiment names whose steps
// name none: a plan that was resolved from a kind and written to a file is read
// as the same plan.
func usedOnly(e Experiment, s *subject.Subject) subject.Dependency {
	for _, step := range e.Method {
		if _, ok := s.Dependency(step.On); ok {
			return subject.Dependency{}
		}
	}
	d, _ := s.Dependency(e.Load.Uses)
	return d
}

// planner builds one plan.
type planner struct {
	Plan
	kind     string // instantiated for; empty when for none
	replicas []string
	replica  string // drawn from the seed
	draws    *rand.Rand
}

func planFor(e Experiment, s *subject.Subject, seed uint64, kind, target string) ([]Plan, error) {
	name := e.Name
	if target != "" {
		name += "/" + target
	}
	own := *s
	if e.Replicas > 0 {
		own.Service.Replicas = e.Replicas
	}
	e, err := resolve(e, s) // once more, so that plans share no action
	if err != nil {
		return nil, err
	}
	p := &planner{kind: kind, Plan: Plan{
		Name: name, Experiment: e, Subject: &own, Target: target, Seed: seed,
		SteadyFor: e.SteadyState.For, RecoverFor: e.Recovery, SettleFor: e.Settle, Rate: max(e.Load.Rate, 0),
	}}
	p.replicas = ReplicaNames(&own, own.Service.Replicas)
	p.draws = draws(seed, name)
	p.replica = p.replicas[p.draws.IntN(len(p.replicas))]
	if err := p.build(); err != nil {
		return nil, fmt.Errorf("plan %s: %w", name, err)
	}
	return []Plan{p.Plan}, nil
}

// draws is the source of a plan's own random draws.
func draws(seed uint64, name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, h.Sum64())) //nolint:gosec // draws that can be repeated, not secrets
}

func (p *planner) build() error {
	if err := p.load(); err != nil {
		return err
	}
	for name, port := range p.Subject.Service.Ports {
		if port != 0 && len(p.replicas) > 1 && p.Subject.Environment != "docker" {
			p.reason("port %s of the service is fixed at %d, so there cannot be %d replicas", name, port, len(p.replicas))
		}
	}
	for _, s := range p.Experiment.Method {
		if err := p.step(s); err != nil {
			return fmt.Errorf("step %q: %w", s.Name, err)
		}
	}
	if err := errors.Join(p.times(), p.bounded(), p.checkExpectations()); err != nil {
		return err
	}
	slices.SortStableFunc(p.Steps, func(a, b PlannedStep) int { return cmp.Compare(a.At, b.At) })
	p.tap()
	p.agentless()
	return nil
}

// tap puts wire taps before the subject's databases when a fault or a detector
// needs them.
func (p *planner) tap() {
	needed := slices.ContainsFunc(p.Steps, func(s PlannedStep) bool {
		a, ok := s.Do.(*FaultAction)
		return ok && a.taps()
	}) || slices.ContainsFunc(p.Experiment.Expect, func(x Expectation) bool {
		info, _ := detect.Describe(x.Kind)
		return info.Statements
	})
	if !needed {
		return
	}
	p.Subject.Dependencies = slices.Clone(p.Subject.Dependencies)
	for i := range p.Subject.Dependencies {
		d := &p.Subject.Dependencies[i]
		d.Wire.Tap = d.Wire.Tap || d.Kind == subject.Postgres
	}
}

// reason says why the plan is not applicable; the first reason stays.
func (p *planner) reason(format string, args ...any) {
	if p.NotApplicable == "" {
		p.NotApplicable = fmt.Sprintf(format, args...)
	}
}

// load restricts the ordinary load.
func (p *planner) load() error {
	l := &p.Experiment.Load
	if err := p.uses(&l.Uses, &l.Routes); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	return nil
}

// uses resolves a pair of uses and routes: the kind to a dependency's name, and
// the routes to those that use it.
func (p *planner) uses(uses *string, routes *[]string) error {
	if err := p.checkRoutes(*routes); err != nil {
		return err
	}
	if *uses == "" {
		return nil
	}
	name, ok, err := p.dependency(*uses)
	if err != nil {
		return err
	}
	if !ok {
		p.reason("%s has no dependency of kind %s", p.Subject.Name, *uses)
		return nil
	}
	*uses = name
	using := RoutesUsing(p.Subject, name)
	if len(*routes) > 0 {
		using = slices.DeleteFunc(using, func(r string) bool { return !slices.Contains(*routes, r) })
	}
	if len(using) == 0 {
		p.reason("no request of the ordinary traffic uses %s", name)
	}
	*routes = using
	return nil
}

// only restricts routes to those of a sort; without any the plan is not
// applicable, for that reason.
func (p *planner) only(routes *[]string, of func(loadgen.Request) bool, none string) {
	var kept []string
	for _, r := range p.Subject.Traffic.Requests {
		if of(r) && (len(*routes) == 0 || slices.Contains(*routes, r.Name)) {
			kept = append(kept, r.Name)
		}
	}
	if len(kept) == 0 {
		p.reason("%s", none)
	}
	*routes = kept
}

// dependency is the name that a name or a kind stands for in this plan: the one
// it was instantiated for, otherwise the first of that kind.
func (p *planner) dependency(word string) (name string, ok bool, err error) {
	if word == p.kind && p.kind != "" {
		return p.Target, true, nil
	}
	if _, ok := p.Subject.Dependency(word); ok {
		return word, true, nil
	}
	for _, d := range p.Subject.Dependencies {
		if d.Kind == word {
			return d.Name, true, nil
		}
	}
	if slices.Contains(dependencyKinds, word) {
		return "", false, nil
	}
	return "", false, fmt.Errorf("the subject has no dependency called %q; there are %s",
		word, yamlfile.Nearest(word, p.targets()))
}

// RoutesUsing names the requests of the traffic that use a dependency. Where
// the subject says of no request what it uses, these are all; so are they for
// an empty name.
func RoutesUsing(s *subject.Subject, dependency string) []string {
	var all, using []string
	said := false
	for _, r := range s.Traffic.Requests {
		if r.Weight == 0 {
			continue
		}
		all = append(all, r.Name)
		said = said || len(r.Uses) > 0
		if slices.Contains(r.Uses, dependency) {
			using = append(using, r.Name)
		}
	}
	if dependency == "" || !said {
		return all
	}
	return using
}

// targets are the names a step's on may give.
func (p *planner) targets() []string {
	var names []string
	for _, d := range p.Subject.Dependencies {
		names = append(names, d.Name)
	}
	return append(append(names, OnReplica, OnReplicas), p.replicas...)
}

func (p *planner) step(s Step) error {
	targets, err := p.resolveOn(s.On)
	if err != nil {
		return err
	}
	p.seed(s.Action)
	for i, target := range targets {
		do := s.Action
		if i > 0 {
			do = cloneAction(do)
		}
		if err := p.restrict(do); err != nil {
			return err
		}
		p.spare(s.Name, do, target)
		if err := do.Supports(p.Subject, target); err != nil {
			d, _ := p.Subject.Dependency(target)
			if s.Class == ClassFault && !d.External() && !errors.Is(err, faults.ErrNotHere) {
				return err
			}
			p.reason("step %q: %v", s.Name, err)
		}
		name := s.Name
		if len(targets) > 1 {
			name += "." + strconv.Itoa(i+1) // so that what each does can be told apart
		}
		p.Steps = append(
			p.Steps,
			PlannedStep{Do: do, Of: s.Name, After: s.After, Until: s.Until, PlannedStep: journal.PlannedStep{
				Name: name, Action: s.Kind, Class: s.Class, Target: target, Detail: do.String(),
				At: journal.Instant(s.At), For: s.For,
			}},
		)
	}
	return nil
}

// seed gives an action that makes draws of its own a seed from the plan's,
// unless the file states one.
func (p *planner) seed(a Action) {
	drawn := p.draws.Uint64() >> 1 // for files: a signed number
	v := reflect.Indirect(reflect.ValueOf(paramsOf(a)))
	if v.Kind() != reflect.Struct {
		return
	}
	seed := v.FieldByName("Seed")
	if seed.IsValid() && seed.Kind() == reflect.Uint64 && seed.Uint() == 0 {
		seed.SetUint(drawn)
	}
}

func (p *planner) resolveOn(on string) ([]string, error) {
	switch {
	case on == "":
		return []string{""}, nil
	case on == OnReplica:
		return []string{p.replica}, nil
	case on == OnReplicas:
		return p.replicas, nil
	case slices.Contains(p.replicas, on):
		return []string{on}, nil
	}
	name, ok, err := p.dependency(on)
	if err != nil {
		return nil, fmt.Errorf("nothing to do it on is called %q; there are %s", on, yamlfile.Nearest(on, p.targets()))
	}
	if !ok {
		p.reason("%s has no dependency of kind %s", p.Subject.Name, on)
		return nil, nil
	}
	return []string{name}, nil
}

// restrict resolves what an action's own uses and routes mean.
func (p *planner) restrict(a Action) error {
	switch a := a.(type) {
	case *Attack:
		if err := p.uses(&a.Uses, &a.Routes); err != nil {
			return err
		}
		if a.Writes {
			p.only(&a.Routes, func(r loadgen.Request) bool { return r.Write != nil && r.Weight > 0 },
				"no request of the ordinary traffic is a write (write: {key: …})")
		}
		if a.Panics {
			p.only(&a.Routes, func(r loadgen.Request) bool { return r.Panics },
				"no request of the traffic has a handler that panics on purpose (panics: true)")
		}
	case *MeasureCapacity:
		return p.uses(&a.Uses, &a.Routes)
	case *MeasureRoundTrips:
		return p.uses(&a.Uses, &a.Routes)
	case *PlantSQL:
		return p.uses(&a.Uses, &a.Routes)
	case *Resubmit:
		none := ""
		return p.uses(&none, &a.Routes)
	}
	return nil
}

// times gives every step its length and its instant, and the method its end.
func (p *planner) times() error {
	ends := map[string]time.Duration{} // of the steps so far
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.After != "" {
			end, ok := ends[s.After]
			if !ok {
				return fmt.Errorf("step %q: no step before it is called %q", s.Name, s.After)
			}
			s.Wait, s.At = s.At.Duration(), s.At.Add(end)
		}
		length := s.For
		if m, ok := s.Do.(measured); ok && length == 0 {
			length = m.Length()
			s.For = length
		}
		if length == 0 {
			length = p.estimate(s.Do)
		}
		end := s.At.Duration() + length
		ends[s.Of] = max(ends[s.Of], end)
		p.MethodFor = max(p.MethodFor, end)
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Class == ClassFault && s.For == 0 {
			s.For, s.ToTheEnd = p.MethodFor-s.At.Duration(), true
			if s.For <= 0 {
				return fmt.Errorf("step %q would never be in force: it has no for, and no other step ends after it begins", s.Name)
			}
		}
		if b, ok := s.Do.(bound); ok {
			b.bind(s.Name, s.For)
		}
		s.At = s.At.Add(p.SteadyFor)
	}
	return nil
}

// longestPlan bounds what a file may ask for: what is broken is broken for a
// while, not for good.
const longestPlan = 24 * time.Hour

// bounded refuses a plan without an end in sight.
func (p *planner) bounded() error {
	for _, s := range p.Steps {
		if at := s.At.Duration(); at < 0 || at > longestPlan || s.For > longestPlan {
			return fmt.Errorf("step %q would begin after %v and last %v; a plan takes %v at most",
				s.Name, at, s.For, longestPlan)
		}
	}
	if length := p.Duration(); length < 0 || length > longestPlan {
		return fmt.Errorf("it would take %v; a plan takes %v at most", length, longestPlan)
	}
	return nil
}

// estimate guesses how long an operation takes that ends by itself, so that the
// plan can say how long it will be; the run waits for its real end.
func (p *planner) estimate(a Action) time.Duration {
	restart := time.Second // to start again and be ready
	if promises := p.Subject.Promises; promises.Drain != "" {
		restart += promises.DrainDelay
	}
	switch a := a.(type) {
	case *RollingRestart:
		n := time.Duration(len(p.replicas))
		return (restart+a.Down+a.Pause)*n - a.Pause //nolint:durationcheck // n is a number
	case *RollTo:
		n := time.Duration(len(p.replicas))
		if a.Replicas > 0 {
			n = min(n, time.Duration(a.Replicas))
		}
		return restart * n //nolint:durationcheck // n is a number
	case *Migrate:
		return a.Estimate
	case *RestartOne:
		return restart + a.Down
	case *RestartAll:
		return restart
	case *Scale:
		return time.Second
	}
	return 0
}
