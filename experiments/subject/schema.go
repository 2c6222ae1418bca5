package subject

import (
	_ "embed" // for the doc comments
	"encoding/json"
	"reflect"

	"github.com/invopop/jsonschema"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/yamlfile"
	"github.com/seatrial/seatrial/loadgen"
)

//go:embed comments.json
var comments []byte

// Schema is the JSON Schema of a subject file, made from the same structs that
// the file is decoded into. What it refuses, [Decode] refuses too; the reverse
// does not hold, as a schema cannot tell whether a name is known elsewhere in
// the file.
func Schema() *jsonschema.Schema {
	s := &yamlfile.Schema{
		Required: required,
		Enums: map[reflect.Type]map[string][]string{
			reflect.TypeFor[Subject]():          {"environment": Environments()},
			reflect.TypeFor[Dependency]():       {"kind": {Postgres, Redis, HTTP, TCP}},
			reflect.TypeFor[Stop]():             {"signal": {"SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"}},
			reflect.TypeFor[Balancer]():         {"mode": {"tcp", "http"}},
			reflect.TypeFor[loadgen.Traffic]():  {"trace": journal.TraceFormats()},
			reflect.TypeFor[journal.Promises](): {"drain": {"self", "prestop", ""}},
		},
	}
	if err := json.Unmarshal(comments, &s.Comments); err != nil {
		panic("subject: comments.json: " + err.Error()) // embedded; a test reads it
	}
	s.Hooks = map[reflect.Type]func() *jsonschema.Schema{
		reflect.TypeFor[Dependencies](): func() *jsonschema.Schema {
			return &jsonschema.Schema{Type: "object", AdditionalProperties: s.Type(reflect.TypeFor[Dependency]())}
		},
		reflect.TypeFor[Detectors](): func() *jsonschema.Schema { return detectorsSchema(s) },
	}
	return s.Of(reflect.TypeFor[Subject](), "https://seatrial.github.io/schema/subject-1.json", "Seatrial subject")
}
