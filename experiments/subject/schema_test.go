package subject

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/seatrial/seatrial/experiments/yamlfile"
)

var update = flag.Bool("update", false, "write the embedded doc comments")

// TestComments holds the embedded doc comments against the source.
func TestComments(t *testing.T) {
	t.Chdir("../..")
	const module = "github.com/seatrial/seatrial"
	want, err := yamlfile.DocComments(module, []string{"experiments/subject", "experiments/journal", "loadgen"}, []string{
		module + "/experiments/subject.", module + "/experiments/journal.Promises", module + "/loadgen.Traffic",
		module + "/loadgen.Request", module + "/loadgen.WriteRule", module + "/loadgen.Ledger",
	})
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		b, err := json.MarshalIndent(want, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("experiments/subject/comments.json", append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	var got map[string]string
	if err := json.Unmarshal(comments, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("comments.json is old (-source +file), -update writes it:\n%s", diff)
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	b, err := json.Marshal(Schema())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("subject.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("subject.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	b, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

func TestSchemaTakesWhatTheDecoderTakes(t *testing.T) {
	s := compiled(t)
	for _, file := range []string{"testdata/sample.yaml", "../../testdata/orders/seatrial.yaml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(file, b); err != nil {
			t.Error(err)
		}
		if err := validate(t, s, b); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestSchemaRefusesWhatTheDecoderRefuses(t *testing.T) {
	s := compiled(t)
	for name, change := range map[string][2]string{
		"unknown key":  {"  rate: 100", "  rat: 100"},
		"wrong type":   {"ports: {http: 0, admin: 0}", "ports: [http]"},
		"bad duration": {"answers_within: 2s", "answers_within: 2"},
		"missing":      {"      path: /orders\n", ""},
		"unknown kind": {"kind: tcp", "kind: udp"},
		"drain":        {"drain: self", "drain: alone"},
		"no name":      {"name: orders\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := sample(t, change[0], change[1])
			if _, err := Decode("s.yaml", b); err == nil {
				t.Error("the decoder takes it")
			}
			if err := validate(t, s, b); err == nil {
				t.Error("the schema takes it")
			}
		})
	}
}

func TestSchemaExplains(t *testing.T) {
	b, err := json.Marshal(Schema())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Replicas is how many copies run", "RecoversWithin is how soon after", "Rate is the ordinary rate",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the schema does not say %q", want)
		}
	}
}
