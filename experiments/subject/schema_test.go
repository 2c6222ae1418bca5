package subject

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments/yamlfile"
	"github.com/seatrial/seatrial/experiments/yamlfile/yamlfiletest"
)

var update = flag.Bool("update", false, "write the embedded doc comments")

// TestComments holds the embedded doc comments against the source.
func TestComments(t *testing.T) {
	t.Chdir("../..")
	const module = "github.com/seatrial/seatrial"
	want, err := yamlfile.DocComments(module, []string{"experiments/subject", "experiments/journal", "loadgen"}, []string{
		module + "/experiments/subject.", module + "/experiments/journal.Promises", module + "/loadgen.Traffic",
		module + "/loadgen.Request", module + "/loadgen.WriteRule", module + "/loadgen.Ledger",
		module + "/loadgen.Callers", module + "/loadgen.ReadRoute", module + "/loadgen.Register",
	})
	if err != nil {
		t.Fatal(err)
	}
	yamlfiletest.Comments(t, "experiments/subject/comments.json", want, *update)
}

func TestSchemaTakesWhatTheDecoderTakes(t *testing.T) {
	s := yamlfiletest.Compile(t, Schema())
	for _, file := range []string{
		"testdata/sample.yaml", "../../testdata/orders/seatrial.yaml", "../../testdata/orders/seatrial-pgxpool.yaml",
		"../../testdata/orders/seatrial-libpq.yaml",
	} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(file, b); err != nil {
			t.Error(err)
		}
		if err := s.Validate(t, b); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestSchemaRefusesWhatTheDecoderRefuses(t *testing.T) {
	s := yamlfiletest.Compile(t, Schema())
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
			if err := s.Validate(t, b); err == nil {
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
