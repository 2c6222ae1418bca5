package yamlfile

import (
	"reflect"
	"strings"
)

// Field is one key that a struct has in a file.
type Field struct {
	Name  string
	Index []int
	Type  reflect.Type
}

// Fields are the keys of a struct type, in the order of its fields: the name in
// the yaml tag, else the field's name in lower case. Embedded structs without
// a name of their own give their keys to the struct around them.
func Fields(t reflect.Type) []Field {
	var fields []Field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" {
			continue
		}
		inline := strings.Contains(options, "inline")
		if f.Type.Kind() == reflect.Struct && (inline || (f.Anonymous && name == "")) {
			for _, inner := range Fields(f.Type) {
				inner.Index = append([]int{i}, inner.Index...)
				fields = append(fields, inner)
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		fields = append(fields, Field{Name: name, Index: []int{i}, Type: f.Type})
	}
	return fields
}

func names(fields []Field) []string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.Name
	}
	return all
}

func fieldNamed(fields []Field, name string) (Field, bool) {
	for _, f := range fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}
