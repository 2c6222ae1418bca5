// Package yamlfiletest holds the schemas of YAML files to what their decoders
// take, their errors to the places that they must name, and the doc comments
// that are embedded for them to the source.
package yamlfiletest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/seatrial/seatrial/experiments/yamlfile"
)

// Schema is a JSON Schema that YAML is held against.
type Schema struct{ compiled *jsonschema.Schema }

// Compile compiles a schema from the value that is printed.
func Compile(t *testing.T, schema any) Schema {
	t.Helper()
	b, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	const name = "schema.json"
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return Schema{s}
}

// Validate says what the schema does not take of a YAML text.
func (s Schema) Validate(t *testing.T, text []byte) error {
	t.Helper()
	b, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return s.compiled.Validate(doc)
}

// Placed holds a decoder's error to consist of mistakes that all have a place
// and say what is wrong.
func Placed(t *testing.T, err error) {
	t.Helper()
	var ms yamlfile.Mistakes
	if !errors.As(err, &ms) || len(ms) == 0 {
		t.Fatalf("an error without places: %v", err)
	}
	for _, m := range ms {
		if m.Line < 1 || m.Column < 1 || m.Problem == "" {
			t.Fatalf("a mistake without a place: %+v", m)
		}
	}
}

// Comments holds a file of doc comments against those of the source, or writes
// it.
func Comments(t *testing.T, file string, source map[string]string, write bool) {
	t.Helper()
	if write {
		b, err := json.MarshalIndent(source, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil { //nolint:gosec // a file of the repository
			t.Fatal(err)
		}
		return
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var kept map[string]string
	if err := json.Unmarshal(b, &kept); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(source, kept); diff != "" {
		t.Errorf("%s is old (-source +file), -update writes it:\n%s", file, diff)
	}
}
