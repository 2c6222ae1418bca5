package subject

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/invopop/jsonschema"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/yamlfile"
)

// Detectors are parameters of detectors by their kinds, as an experiment's
// expectations have them.
type Detectors map[string]detect.Detector

// ownOfExperiments are parameters that say what an experiment looks at.
var ownOfExperiments = []string{"during", "attack"}

// decodeDetectors reads the mapping of kinds to parameters.
func decodeDetectors(d *yamlfile.Document, at string, n ast.Node) Detectors {
	entries, ok := d.Entries(at, n)
	if !ok {
		d.MistakeAt(n, at+" is no mapping", "a mapping of detectors to their parameters")
		return nil
	}
	all := Detectors{}
	for _, e := range entries {
		into, err := detect.New(e.Key)
		if err != nil {
			d.MistakeAt(e.KeyNode, fmt.Sprintf("no detector is called %q", e.Key), yamlfile.Nearest(e.Key, detect.Kinds()))
			continue
		}
		path := yamlfile.Join(at, e.Key)
		d.Place(path, e.KeyNode, e.Value)
		d.Node(path, e.Value, reflect.ValueOf(into).Elem())
		for _, key := range ownOfExperiments {
			if d.Has(yamlfile.Join(path, key)) {
				d.Mistake(yamlfile.Join(path, key), key+" belongs to an experiment", "it in the expectation of an experiment")
			}
		}
		all[e.Key] = into
	}
	return all
}

// Adjust sets the parameters that the subject gives to a kind, where the
// detector still has their defaults. Whether an experiment stated a default or
// left it out makes no difference, as in the file that it is written to.
func (all Detectors) Adjust(kind string, detector detect.Detector) {
	own, ok := all[kind]
	if !ok {
		return
	}
	usual, err := detect.New(kind)
	if err != nil {
		return // the kind was looked up when the file was read
	}
	from, to, by := reflect.ValueOf(own), reflect.ValueOf(detector), reflect.ValueOf(usual)
	if to.Kind() != reflect.Pointer || to.Type() != from.Type() {
		return // made by a program, and so as it is meant
	}
	for _, f := range yamlfile.Fields(to.Type().Elem()) {
		given, set, was := from.Elem().FieldByIndex(f.Index), to.Elem().FieldByIndex(f.Index), by.Elem().FieldByIndex(f.Index)
		if reflect.DeepEqual(set.Interface(), was.Interface()) {
			set.Set(given)
		}
	}
}

// detectorsSchema is a mapping of kinds to their parameters.
func detectorsSchema(s *yamlfile.Schema) *jsonschema.Schema {
	properties := jsonschema.NewProperties()
	for _, kind := range slices.Sorted(slices.Values(detect.Kinds())) {
		if d, err := detect.New(kind); err == nil {
			properties.Set(kind, s.Type(reflect.TypeOf(d).Elem()))
		}
	}
	return &jsonschema.Schema{Type: "object", Properties: properties, AdditionalProperties: jsonschema.FalseSchema}
}
