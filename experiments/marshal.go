package experiments

import (
	"fmt"
	"reflect"

	"github.com/goccy/go-yaml"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/yamlfile"
)

// Marshal writes the experiment as a file that [Decode] reads again to the same
// experiment. What is left at its default is left out; expressions on promises
// are kept. Actions and detectors must be of registered kinds.
func Marshal(e Experiment) ([]byte, error) {
	encoder := &yamlfile.Encoder{
		Texts: e.expressions,
		Hooks: map[reflect.Type]func(reflect.Value) (any, error){
			reflect.TypeFor[Step](): func(v reflect.Value) (any, error) { return encodeStep(v.Interface().(Step)) },
			reflect.TypeFor[Expectation](): func(v reflect.Value) (any, error) {
				return encodeExpectation(v.Interface().(Expectation))
			},
		},
	}
	if e.Version == 0 {
		e.Version = FileVersion
	}
	m, err := encoder.Mapping(reflect.ValueOf(e), reflect.ValueOf(Experiment{}))
	if err != nil {
		return nil, fmt.Errorf("write experiment %s: %w", e.Name, err)
	}
	b, err := yaml.MarshalWithOptions(m, yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("write experiment %s: %w", e.Name, err)
	}
	return b, nil
}

func encodeStep(s Step) (any, error) {
	if s.Class == "" || s.Kind == "" {
		return nil, fmt.Errorf("step %q: an action of no registered kind cannot be written to a file", s.Name)
	}
	_, defaults, err := newAction(s.Class, s.Kind)
	if err != nil {
		return nil, fmt.Errorf("step %q: %w", s.Name, err)
	}
	params, err := encodeKind(s.Kind, paramsOf(s.Action), defaults, below(s.Class+"."+s.Kind, s.expressions))
	if err != nil {
		return nil, fmt.Errorf("step %q: %w", s.Name, err)
	}
	out := yaml.MapSlice{{Key: "name", Value: s.Name}}
	for _, d := range []struct {
		key   string
		value any
		set   bool
	}{
		{"at", s.At.String(), s.At != 0},
		{"after", s.After, s.After != ""},
		{"for", s.For.String(), s.For != 0},
		{"on", s.On, s.On != ""},
	} {
		if text, ok := s.expressions[d.key]; ok {
			d.value, d.set = text, true
		}
		if d.set {
			out = append(out, yaml.MapItem{Key: d.key, Value: d.value})
		}
	}
	if len(s.Until) > 0 {
		until := make([]any, len(s.Until))
		for i, e := range s.Until {
			if until[i], err = encodeExpectation(e); err != nil {
				return nil, fmt.Errorf("step %q: %w", s.Name, err)
			}
		}
		out = append(out, yaml.MapItem{Key: "until", Value: until})
	}
	return append(out, yaml.MapItem{Key: s.Class, Value: params}), nil
}

func encodeExpectation(e Expectation) (any, error) {
	defaults, err := detect.New(e.Kind)
	if err != nil {
		return nil, err
	}
	encoded, err := encodeKind(e.Kind, e.Detector, defaults, e.expressions)
	if err != nil || e.Only == "" {
		return encoded, err
	}
	m, ok := encoded.(yaml.MapSlice)
	if !ok {
		m = yaml.MapSlice{{Key: e.Kind, Value: yaml.MapSlice{}}}
	}
	return append(m, yaml.MapItem{Key: "only", Value: e.Only}), nil
}

// encodeKind writes `kind: {parameters}`, or the bare kind where all parameters
// are at their defaults.
func encodeKind(kind string, params, defaults any, texts map[string]string) (any, error) {
	v, d := reflect.ValueOf(params), reflect.ValueOf(defaults)
	if v.Type() != d.Type() {
		return nil, fmt.Errorf("%s is a %T, not a %T", kind, defaults, params)
	}
	encoder := &yamlfile.Encoder{Texts: texts}
	m, err := encoder.Mapping(v.Elem(), d.Elem())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if len(m) == 0 {
		return kind, nil
	}
	return yaml.MapSlice{{Key: kind, Value: m}}, nil
}

// paramsOf is the struct that an action's parameters are decoded into.
func paramsOf(a Action) any {
	if f, ok := a.(*FaultAction); ok {
		return f.Fault
	}
	return a
}

// below are the texts under a path, by the rest of their paths.
func below(at string, texts map[string]string) map[string]string {
	out := map[string]string{}
	for path, text := range texts {
		if len(path) > len(at) && path[:len(at)+1] == at+"." {
			out[path[len(at)+1:]] = text
		}
	}
	return out
}
