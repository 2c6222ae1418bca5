package experiments

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/yamlfile"
)

// Reference is the reference of both files in Markdown, made from the structs
// that they are decoded into: their keys, and all kinds of faults, operations,
// probes and detectors with their parameters and defaults.
func Reference() string {
	var b strings.Builder
	b.WriteString("# Reference\n\nMade from the source by `go test ./experiments -run Reference -update`. " +
		"Durations are written like 250ms, 2s or 1m30s, ratios as numbers between 0 and 1.\n\n")
	referenceOf(&b, "## Subject file", subject.Schema(), "subject.Subject")
	referenceOf(&b, "## Experiment file", Schema(), "experiments.Experiment")
	b.WriteString(methodText)
	comments := docComments()
	for _, class := range Classes() {
		fmt.Fprintf(&b, "## %ss\n\n", strings.ToUpper(class[:1])+class[1:])
		for _, kind := range ActionKinds(class) {
			if _, params, err := newAction(class, kind); err == nil {
				referenceOfKind(&b, kind, "", params, comments)
			}
		}
	}
	b.WriteString("## Detectors\n\n")
	for _, kind := range detect.Kinds() {
		d, err := detect.New(kind)
		if err != nil {
			continue
		}
		info, _ := detect.Describe(kind)
		referenceOfKind(&b, kind, describe(info), d, comments)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

const methodText = `### Steps and expectations

A step of ` + "`method`" + ` has the keys ` + "`name`, `at`, `after`, `for`, `on`, `until`" + ` and exactly one of ` +
	"`fault`, `operation` and `probe`" + `, which holds one kind with its parameters, or the kind alone.
` + "`on`" + ` names a dependency, a kind of dependency (the experiment is then planned once for each of the first kind
that is named, and takes the first dependency of any other), ` +
	"`replica`" + ` (one, drawn from the seed), ` + "`replicas`" + ` or one replica by name.

` + "`after`" + ` names an earlier step: ` + "`at`" + ` then counts from its end. ` + "`until`" + ` lists detectors that
end a fault, a probe or an attack early, when each has seen enough.

An entry of ` + "`expect`" + ` is a detector with its parameters, or the detector alone; beside it, ` +
	"`only: soft`" + ` or ` + "`only: hard`" + ` restricts it to soft or hard dependencies.

Numbers and durations of an experiment may be expressions on the subject's promises: ` +
	"`${answers_within}`, `${times 2 answers_within}`, `${plus (times 0.5 answers_within) 1s}`" + `.
The functions are times, plus, minus, min and max.

`

// describe is what is known of a kind of detector, in one line.
func describe(i detect.Info) string {
	parts := []string{"class " + string(i.Class)}
	if i.ID != "" {
		parts = append([]string{i.ID}, parts...)
	}
	if len(i.Checklist) > 0 {
		parts = append(parts, "checklist "+strings.Join(i.Checklist, ", "))
	}
	return i.Summary + " (" + strings.Join(parts, "; ") + ")."
}

// referenceOf writes the tables of a file and of the mappings in it.
func referenceOf(b *strings.Builder, heading string, s *jsonschema.Schema, root string) {
	fmt.Fprintf(b, "%s\n\n", heading)
	seen := map[string]bool{root: true}
	queue := []string{root}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		d := s.Definitions[name]
		if d == nil || d.Properties == nil {
			continue
		}
		if name != root {
			fmt.Fprintf(b, "### %s\n\n", name[strings.LastIndexByte(name, '.')+1:])
		}
		fmt.Fprintf(b, "%s\n\n| key | value | meaning |\n|---|---|---|\n", escape(d.Description))
		for p := d.Properties.Oldest(); p != nil; p = p.Next() {
			kind, refs := schemaInWords(p.Value)
			for _, ref := range refs {
				if !seen[ref] && !strings.HasPrefix(ref, "faults.") && !strings.HasPrefix(ref, "detect.") {
					seen[ref] = true
					queue = append(queue, ref)
				}
			}
			fmt.Fprintf(b, "| %s | %s | %s |\n", p.Key, kind, escape(p.Value.Description))
		}
		b.WriteString("\n")
	}
}

// schemaInWords says what a value is, and which other mappings it refers to.
func schemaInWords(s *jsonschema.Schema) (text string, refs []string) {
	switch {
	case s.Ref != "":
		name := strings.TrimPrefix(s.Ref, "#/$defs/")
		return "a mapping: " + name[strings.LastIndexByte(name, '.')+1:], []string{name}
	case len(s.Enum) > 0:
		return enumInWords(s.Enum), nil
	case s.Items != nil:
		inner, refs := schemaInWords(s.Items)
		return "a list: " + inner, refs
	case s.AdditionalProperties != nil && s.Type == "object" && s.Properties == nil:
		inner, refs := schemaInWords(s.AdditionalProperties)
		return "a mapping of names: " + inner, refs
	case len(s.AnyOf) > 0:
		if s.AnyOf[0].Pattern != "" {
			return "duration", nil
		}
		return schemaInWords(s.AnyOf[0])
	case len(s.OneOf) > 0:
		return "see below", nil
	}
	names := map[string]string{"string": "text", "integer": "number", "boolean": "true or false", "object": "a mapping"}
	return cmp.Or(names[s.Type], s.Type), nil
}

func enumInWords(values []any) string {
	var words []string
	for _, v := range values {
		if text := fmt.Sprint(v); text != "" {
			words = append(words, text)
		}
	}
	return strings.Join(words, ", ")
}

func escape(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// referenceOfKind writes one kind with its parameters and their defaults.
func referenceOfKind(b *strings.Builder, kind, summary string, params any, comments map[string]string) {
	fmt.Fprintf(b, "### %s\n\n", kind)
	if summary != "" {
		fmt.Fprintf(b, "%s\n\n", escape(summary))
	}
	if text := comments[fullName(params)]; text != "" {
		fmt.Fprintf(b, "%s\n\n", escape(text))
	}
	v := reflect.ValueOf(params).Elem()
	fields := yamlfile.Fields(v.Type())
	if len(fields) == 0 {
		return
	}
	b.WriteString("| parameter | value | default | meaning |\n|---|---|---|---|\n")
	for _, f := range fields {
		owner, name := v.Type(), v.Type().FieldByIndex(f.Index).Name
		for _, i := range f.Index[:len(f.Index)-1] {
			owner = owner.Field(i).Type
		}
		meaning := comments[owner.PkgPath()+"."+owner.Name()+"."+name]
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n",
			f.Name, typeInWords(f.Type), defaultInWords(v.FieldByIndex(f.Index)), escape(meaning))
	}
	b.WriteString("\n")
}

// fullName is the name that doc comments are kept under.
func fullName(params any) string {
	t := reflect.TypeOf(params).Elem()
	return t.PkgPath() + "." + t.Name()
}

func typeInWords(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Kind() == reflect.Map || t.Kind() == reflect.Struct:
		return "mapping"
	}
	return "number"
}

func defaultInWords(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return d.String()
	}
	b, err := json.Marshal(v.Interface())
	if err != nil {
		return ""
	}
	return strings.Trim(string(b), `"`)
}
