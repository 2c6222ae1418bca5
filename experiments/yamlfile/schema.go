package yamlfile

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// Schema makes the JSON Schema of a file from the structs that it is decoded
// into.
type Schema struct {
	// Required is as in [Document].
	Required map[reflect.Type][]string
	// Enums lists the values that a field may have, by type and key.
	Enums map[reflect.Type]map[string][]string
	// Comments are the structs' doc comments, by "import/path.Type.Field".
	Comments map[string]string
	// Expressions says that numbers and durations may be texts like ${…}.
	Expressions bool
	// Hooks make the schema of a type in place of the rules for its kind. They
	// may refer to other types by [Schema.Type].
	Hooks map[reflect.Type]func() *jsonschema.Schema

	definitions jsonschema.Definitions
}

const durationPattern = `^([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)` +
	`(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*$`

// Of is the schema of a whole file.
func (s *Schema) Of(t reflect.Type, id, title string) *jsonschema.Schema {
	s.definitions = jsonschema.Definitions{}
	ref := s.Type(t)
	return &jsonschema.Schema{
		Version: jsonschema.Version, ID: jsonschema.ID(id), Title: title, Ref: ref.Ref, Definitions: s.definitions,
	}
}

// Type refers to the schema of a struct type, which it adds to the definitions
// of the whole.
func (s *Schema) Type(t reflect.Type) *jsonschema.Schema {
	r := &jsonschema.Reflector{
		Anonymous: true, RequiredFromJSONSchemaTags: true, FieldNameTag: "yaml", CommentMap: s.Comments,
		Mapper: s.Scalar, Namer: typeName,
	}
	reflected := r.ReflectFromType(t)
	for name, d := range reflected.Definitions {
		if _, ok := s.definitions[name]; !ok {
			s.definitions[name] = s.complete(name, d)
		}
	}
	return &jsonschema.Schema{Ref: "#/$defs/" + t.String()}
}

// typeName tells types of one name in two packages apart; types without a name
// get no definition of their own.
func typeName(t reflect.Type) string {
	if t.Name() == "" {
		return ""
	}
	return t.String()
}

// Scalar is the schema of what is no struct, map or list; nil for those.
func (s *Schema) Scalar(t reflect.Type) *jsonschema.Schema {
	if hook, ok := s.Hooks[t]; ok {
		return hook()
	}
	var own []*jsonschema.Schema
	switch {
	case t == reflect.TypeFor[time.Duration]():
		own = []*jsonschema.Schema{{Type: "string", Pattern: durationPattern}, {Const: 0}}
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		own = []*jsonschema.Schema{{Type: "integer"}}
	case t.Kind() == reflect.Float64:
		own = []*jsonschema.Schema{{Type: "number"}}
	default:
		return nil
	}
	if s.Expressions {
		own = append(own, &jsonschema.Schema{Type: "string", Pattern: `^\$\{[^}]+\}$`})
	}
	if len(own) == 1 {
		return own[0]
	}
	return &jsonschema.Schema{AnyOf: own}
}

// complete adds to a definition what reflection does not know.
func (s *Schema) complete(name string, d *jsonschema.Schema) *jsonschema.Schema {
	for t, keys := range s.Required {
		if t.String() == name {
			d.Required = slices.Sorted(slices.Values(keys))
		}
	}
	if d.Properties == nil {
		return d
	}
	for t, enums := range s.Enums {
		if t.String() != name {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(enums)) {
			if p, ok := d.Properties.Get(key); ok {
				p.Enum = words(enums[key])
			}
		}
	}
	for pair := d.Properties.Oldest(); pair != nil; pair = pair.Next() {
		p := pair.Value
		p.Description = strings.Join(strings.Fields(p.Description), " ")
		if p.AdditionalProperties != nil && p.AdditionalProperties.Type == "string" {
			p.AdditionalProperties = anyScalar()
		}
		if p.Items != nil && p.Items.Type == "string" {
			p.Items = anyScalar()
		}
	}
	d.Description = strings.Join(strings.Fields(d.Description), " ")
	return d
}

// anyScalar is what is read as a text in lists and mappings: numbers and
// booleans need no quotes there.
func anyScalar() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
}

// OneKind is the schema of `kind: {parameters}`, or of the bare kind. Others
// are keys that may stand beside the kind.
func OneKind(params map[string]*jsonschema.Schema, others map[string]*jsonschema.Schema) *jsonschema.Schema {
	kinds := slices.Sorted(maps.Keys(params))
	choices := []*jsonschema.Schema{{Type: "string", Enum: words(kinds)}}
	for _, kind := range kinds {
		properties := jsonschema.NewProperties()
		properties.Set(kind, &jsonschema.Schema{AnyOf: []*jsonschema.Schema{params[kind], {Type: "null"}}})
		for _, other := range slices.Sorted(maps.Keys(others)) {
			properties.Set(other, others[other])
		}
		choices = append(choices, &jsonschema.Schema{
			Type: "object", Properties: properties, Required: []string{kind}, AdditionalProperties: jsonschema.FalseSchema,
		})
	}
	return &jsonschema.Schema{OneOf: choices}
}

func words(list []string) []any {
	out := make([]any, len(list))
	for i, w := range list {
		out[i] = w
	}
	return out
}
