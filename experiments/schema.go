package experiments

import (
	_ "embed" // for the doc comments
	"encoding/json"
	"reflect"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/yamlfile"
)

//go:embed comments.json
var comments []byte

// Schema is the JSON Schema of an experiment file, made from the same structs
// that the file is decoded into, with all kinds of faults, operations, probes
// and detectors.
func Schema() *jsonschema.Schema {
	s := &yamlfile.Schema{
		Required: required, Expressions: true, Comments: docComments(),
		Enums: map[reflect.Type]map[string][]string{
			reflect.TypeFor[Experiment](): {"processor": {"low", "high"}},
			reflect.TypeFor[Load]():       {"shape": shapes},
		},
	}
	s.Hooks = map[reflect.Type]func() *jsonschema.Schema{
		reflect.TypeFor[Step]():        func() *jsonschema.Schema { return stepSchema(s) },
		reflect.TypeFor[Expectation](): func() *jsonschema.Schema { return expectationSchema(s) },
	}
	return s.Of(reflect.TypeFor[Experiment](),
		"https://seatrial.github.io/schema/experiment-1.json", "Seatrial experiment")
}

func docComments() map[string]string {
	m := map[string]string{}
	if err := json.Unmarshal(comments, &m); err != nil {
		panic("experiments: comments.json: " + err.Error()) // embedded; a test reads it
	}
	return m
}

// stepSchema is a step with exactly one action.
func stepSchema(s *yamlfile.Schema) *jsonschema.Schema {
	const path = "github.com/seatrial/seatrial/experiments.Step."
	text := func(field string) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Description: s.Comments[path+field]}
	}
	duration := func(field string) *jsonschema.Schema {
		return &jsonschema.Schema{
			AnyOf:       []*jsonschema.Schema{s.Scalar(reflect.TypeFor[time.Duration]())},
			Description: s.Comments[path+field],
		}
	}
	properties := jsonschema.NewProperties()
	properties.Set("name", text("Name"))
	properties.Set("at", duration("At"))
	properties.Set("after", text("After"))
	properties.Set("for", duration("For"))
	properties.Set("on", text("On"))
	properties.Set("until", &jsonschema.Schema{
		Type: "array", Items: expectationSchema(s), Description: s.Comments[path+"Until"],
	})
	step := &jsonschema.Schema{Type: "object", Properties: properties, AdditionalProperties: jsonschema.FalseSchema}
	for _, class := range Classes() {
		params := map[string]*jsonschema.Schema{}
		for _, kind := range ActionKinds(class) {
			if _, into, err := newAction(class, kind); err == nil {
				params[kind] = s.Type(reflect.TypeOf(into).Elem())
			}
		}
		properties.Set(class, yamlfile.OneKind(params, nil))
		step.OneOf = append(step.OneOf, &jsonschema.Schema{Required: []string{class}})
	}
	return step
}

func expectationSchema(s *yamlfile.Schema) *jsonschema.Schema {
	params := map[string]*jsonschema.Schema{}
	for _, kind := range detect.Kinds() {
		if d, err := detect.New(kind); err == nil {
			params[kind] = s.Type(reflect.TypeOf(d).Elem())
		}
	}
	return yamlfile.OneKind(params, map[string]*jsonschema.Schema{
		"only": {Type: "string", Enum: []any{OnlySoft, OnlyHard}},
	})
}
