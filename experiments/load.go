package experiments

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/yamlfile"
)

// FileVersion is the version of the experiment file's form.
const FileVersion = 1

// LoadFile reads an experiment file. The error lists every mistake in it with file,
// line, column, the offending line and what was expected.
func LoadFile(path string) (Experiment, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Experiment{}, fmt.Errorf("read experiment: %w", err)
	}
	return Decode(path, b)
}

// Decode is [LoadFile] for bytes that are already there; the name stands for the
// file in mistakes. Expressions on promises, such as ${times 2 answers_within},
// have the value of the default promises until [NewPlan] knows the subject's.
func Decode(name string, b []byte) (Experiment, error) {
	d, err := yamlfile.Parse(name, b)
	if err != nil {
		return Experiment{}, err
	}
	e := Experiment{File: name}
	r := &reader{d: d, expressions: map[string]string{}}
	d.Required = required
	d.Scalar = r.expression
	d.Hooks = map[reflect.Type]func(string, ast.Node, reflect.Value){
		reflect.TypeFor[Step]():        r.step,
		reflect.TypeFor[Expectation](): r.expectation,
		reflect.TypeFor[actionEntry](): r.action,
	}
	d.Decode(&e)
	e.expressions = r.take("")
	r.check(e)
	if err := d.Err(); err != nil {
		return Experiment{}, err
	}
	return e, nil
}

var required = map[reflect.Type][]string{
	reflect.TypeFor[Experiment](): {"version", "name", "title", "expect"},
}

// reader decodes the parts of an experiment that are more than structs.
type reader struct {
	d           *yamlfile.Document
	expressions map[string]string // by path; each is taken by what it belongs to
}

func (r *reader) expression(at, text string) (string, error) {
	if !strings.HasPrefix(text, "${") {
		return text, nil
	}
	v, err := evaluate(text, journal.DefaultPromises())
	if err == nil {
		r.expressions[at] = text
	}
	return v, err
}

// take removes the expressions under a path and returns them by the rest of
// their paths.
func (r *reader) take(prefix string) map[string]string {
	var taken map[string]string
	for at, text := range r.expressions {
		rest, ok := strings.CutPrefix(at, prefix)
		if !ok {
			continue
		}
		delete(r.expressions, at)
		if strings.Contains(rest, "[") {
			r.d.Mistake(at, "an expression in a list", "a plain value here")
			continue
		}
		if taken == nil {
			taken = map[string]string{}
		}
		taken[rest] = text
	}
	return taken
}

// stepEntry is a step's form in files.
type stepEntry struct {
	Name      string        `yaml:"name"`
	At        time.Duration `yaml:"at"`
	After     string        `yaml:"after"`
	For       time.Duration `yaml:"for"`
	On        string        `yaml:"on"`
	Until     []Expectation `yaml:"until"`
	Fault     actionEntry   `yaml:"fault"`
	Operation actionEntry   `yaml:"operation"`
	Probe     actionEntry   `yaml:"probe"`
}

// actionEntry is what stands under fault, operation or probe: a kind with its
// parameters, or a kind alone.
type actionEntry struct {
	kind   string
	action Action
}

func (r *reader) step(at string, n ast.Node, into reflect.Value) {
	type plain stepEntry // the same keys, but no hook
	var f plain
	r.d.Node(at, n, reflect.ValueOf(&f).Elem())
	s := Step{Name: f.Name, At: f.At, After: f.After, For: f.For, On: f.On, Until: f.Until}
	classes := 0
	for i, a := range []actionEntry{f.Fault, f.Operation, f.Probe} {
		class := Classes()[i]
		if r.d.Has(yamlfile.Join(at, class)) {
			classes++
			s.Class, s.Kind, s.Action = class, a.kind, a.action
		}
	}
	if classes != 1 {
		r.d.Mistake(at, fmt.Sprintf("a step with %d actions", classes), "exactly one of fault, operation and probe")
	}
	if s.Name == "" {
		s.Name = s.Kind
	}
	s.expressions = r.take(at + ".")
	into.Set(reflect.ValueOf(s))
}

func (r *reader) action(at string, n ast.Node, into reflect.Value) {
	class := at[strings.LastIndexByte(at, '.')+1:]
	kind, kindNode, params, ok := r.kind(at, n, "a "+class+" such as "+example[class])
	if !ok {
		return
	}
	action, target, err := newAction(class, kind)
	if err != nil {
		r.d.MistakeAt(kindNode, fmt.Sprintf("no %s is called %q", class, kind), yamlfile.Nearest(kind, ActionKinds(class)))
		return
	}
	r.params(yamlfile.Join(at, kind), params, target)
	into.Set(reflect.ValueOf(actionEntry{kind: kind, action: action}))
}

var example = map[string]string{
	ClassFault: "latency: {latency: 300ms}", ClassOperation: "rolling_restart", ClassProbe: "hold_connections",
}

// kind reads `kind: {parameters}` or a bare kind.
func (r *reader) kind(at string, n ast.Node, expected string) (kind string, key, params ast.Node, ok bool) {
	n = r.d.Resolve(n)
	if s, is := n.(*ast.StringNode); is {
		return s.Value, s, nil, true
	}
	entries, is := r.d.Entries(at, n)
	if !is || len(entries) != 1 {
		r.d.MistakeAt(n, "this is not one kind with its parameters", expected)
		return "", nil, nil, false
	}
	e := entries[0]
	r.d.Place(yamlfile.Join(at, e.Key), e.KeyNode, e.Value)
	return e.Key, e.KeyNode, e.Value, true
}

// params decodes parameters into the struct behind the pointer and asks it
// whether they make sense.
func (r *reader) params(at string, n ast.Node, into any) {
	before := r.d.Count()
	if n != nil {
		r.d.Node(at, n, reflect.ValueOf(into).Elem())
	}
	if r.d.Count() > before {
		return // what does not make sense may follow from that
	}
	if v, ok := into.(validated); ok {
		if err := v.Validate(); err != nil {
			r.d.Mistake(at, err.Error(), "")
		}
	}
}

func (r *reader) expectation(at string, n ast.Node, into reflect.Value) {
	only, n := r.only(at, n)
	kind, kindNode, params, ok := r.kind(at, n, "a detector such as success: {ratio: 0.99} or jitter")
	if !ok {
		return
	}
	detector, err := detect.New(kind)
	if err != nil {
		r.d.MistakeAt(kindNode, fmt.Sprintf("no detector is called %q", kind), yamlfile.Nearest(kind, detect.Kinds()))
		return
	}
	path := yamlfile.Join(at, kind)
	r.params(path, params, detector)
	e := Expectation{Kind: kind, Detector: detector, Only: only, expressions: r.take(path + ".")}
	into.Set(reflect.ValueOf(e))
}

// only takes the key only out of an expectation.
func (r *reader) only(at string, n ast.Node) (string, ast.Node) {
	m, ok := r.d.Resolve(n).(*ast.MappingNode)
	if !ok {
		return "", n
	}
	rest := *m
	rest.Values = nil
	only := ""
	for _, v := range m.Values {
		if key, is := v.Key.(*ast.StringNode); !is || key.Value != "only" {
			rest.Values = append(rest.Values, v)
			continue
		}
		r.d.Node(yamlfile.Join(at, "only"), v.Value, reflect.ValueOf(&only).Elem())
		if only != OnlySoft && only != OnlyHard {
			r.d.MistakeAt(v.Value, fmt.Sprintf("unknown value %q", only), "soft or hard")
		}
	}
	return only, &rest
}

var nameRule = regexp.MustCompile(`^[a-z][a-z0-9-]{0,59}$`)

// check holds the experiment against the rules that types cannot say.
func (r *reader) check(e Experiment) {
	wrong := func(at, expected, format string, args ...any) {
		r.d.Mistake(at, fmt.Sprintf(format, args...), expected)
	}
	if r.d.Has("version") && e.Version != FileVersion {
		wrong("version", "1", "version %d of the experiment file is not known to this seatrial", e.Version)
	}
	if r.d.Has("name") && !nameRule.MatchString(e.Name) {
		wrong("name", "small letters, digits and - that begin with a letter, 60 at most", "bad name %q", e.Name)
	}
	if e.Processor != "" && e.Processor != "low" && e.Processor != "high" {
		wrong("processor", "low or high", "unknown value %q", e.Processor)
	}
	if e.Replicas < 0 {
		wrong("replicas", "1 or more", "%d replicas", e.Replicas)
	}
	if r.d.Has("expect") && len(e.Expect) == 0 {
		wrong("expect", "at least one detector", "nothing is expected")
	}
	for _, at := range []string{"recovery", "settle", "steady_state.for"} {
		if r.d.Has(at) && zeroAt(e, at) {
			wrong(at, "more than zero, or to leave it out", "zero stands for the default")
		}
	}
	r.checkLoad(e.Load, wrong)
	r.checkSteps(e, wrong)
	r.checkNames(e, wrong)
}

func zeroAt(e Experiment, at string) bool {
	return map[string]time.Duration{
		"recovery": e.Recovery, "settle": e.Settle, "steady_state.for": e.SteadyState.For,
	}[at] == 0
}

// shapes of the load.
var shapes = []string{"constant", "ramp", "steps", "spike"}

func (r *reader) checkLoad(l Load, wrong func(at, expected, format string, args ...any)) {
	if l.Shape != "" && !slices.Contains(shapes, l.Shape) {
		wrong("load.shape", yamlfile.Nearest(l.Shape, shapes), "unknown value %q", l.Shape)
	}
	moving := l.Shape != "" && l.Shape != "constant"
	switch {
	case moving && l.To <= 0:
		wrong("load.shape", "to: a rate above 0", "a %s without the rate it goes to", l.Shape)
	case !moving && l.To != 0:
		wrong("load.to", "shape: ramp, steps or spike", "a rate to go to, but a constant load")
	}
	if l.Steps < 0 || l.Steps > 0 && l.Shape != "steps" {
		wrong("load.steps", "a number above 0, with shape: steps", "%d steps", l.Steps)
	}
}

func (r *reader) checkSteps(e Experiment, wrong func(at, expected, format string, args ...any)) {
	seen := map[string]int{}
	for i, s := range e.Method {
		at := yamlfile.Index("method", i)
		if s.Name != "" && !nameOfStep.MatchString(s.Name) {
			wrong(at+".name", "small letters, digits, - and _", "bad name %q", s.Name)
		}
		if first, twice := seen[s.Name]; twice && s.Name != "" {
			wrong(at, "a name of its own", "%q is also the name of step %d", s.Name, first+1)
		} else {
			seen[s.Name] = i
		}
		if after, ok := seen[s.After]; s.After != "" && (!ok || after == i) {
			wrong(at+".after", "the name of a step before this one", "no earlier step is called %q", s.After)
		}
		r.checkUntil(s, at, wrong)
		if slices.Contains([]string{"load", "any"}, s.Name) {
			wrong(at, "another name", "%q stands for the ordinary load or all attacks", s.Name)
		}
	}
}

// checkUntil wants steps that can be ended early, and detectors that know when
// they have seen enough.
func (r *reader) checkUntil(s Step, at string, wrong func(at, expected, format string, args ...any)) {
	if err := s.endable(); err != nil {
		wrong(at+".until", "a fault, a probe or an attack", "%v", err)
	}
	for i, x := range s.Until {
		if _, ok := x.Detector.(detect.Sequential); x.Detector != nil && !ok {
			wrong(yamlfile.Index(at+".until", i), "one of "+strings.Join(detect.SequentialKinds(), ", "),
				"%s does not know when it has seen enough", x.Kind)
		}
	}
}

var nameOfStep = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,59}$`)
