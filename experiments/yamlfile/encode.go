package yamlfile

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Encoder turns values into ordered mappings that can be written as YAML and
// read again by a [Document].
type Encoder struct {
	// Hooks encode values of a type in place of the rules for its kind.
	Hooks map[reflect.Type]func(reflect.Value) (any, error)
	// Texts are written in place of the value at a path.
	Texts map[string]string
}

// Mapping encodes a struct. Fields that are equal to those of the defaults, a
// value of the same type, are left out.
func (e *Encoder) Mapping(v, defaults reflect.Value) (yaml.MapSlice, error) {
	return e.structure("", v, defaults)
}

func (e *Encoder) structure(at string, v, defaults reflect.Value) (yaml.MapSlice, error) {
	out := yaml.MapSlice{}
	for _, f := range Fields(v.Type()) {
		path := Join(at, f.Name)
		if text, ok := e.Texts[path]; ok {
			out = append(out, yaml.MapItem{Key: f.Name, Value: text})
			continue
		}
		value, unset := v.FieldByIndex(f.Index), defaults.FieldByIndex(f.Index)
		same := reflect.DeepEqual(value.Interface(), unset.Interface())
		if same && !e.within(path) || isEmptyList(value) && isEmptyList(unset) {
			continue
		}
		encoded, err := e.value(path, value, unset)
		if err != nil {
			return nil, err
		}
		out = append(out, yaml.MapItem{Key: f.Name, Value: encoded})
	}
	return out, nil
}

// within reports whether a text stands for something inside the path.
func (e *Encoder) within(at string) bool {
	for path := range e.Texts {
		if strings.HasPrefix(path, at+".") {
			return true
		}
	}
	return false
}

func isEmptyList(v reflect.Value) bool { return v.Kind() == reflect.Slice && v.Len() == 0 }

func (e *Encoder) value(at string, v, defaults reflect.Value) (any, error) {
	if hook, ok := e.Hooks[v.Type()]; ok {
		return hook(v)
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return d.String(), nil
	}
	if t, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := t.MarshalText()
		return string(text), err
	}
	switch v.Kind() {
	case reflect.Struct:
		return e.structure(at, v, defaults)
	case reflect.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		return e.value(at, v.Elem(), reflect.Zero(v.Type().Elem()))
	case reflect.Slice:
		return e.list(at, v)
	case reflect.Map:
		return e.mapping(at, v)
	case reflect.String:
		return v.String(), nil
	case reflect.Chan, reflect.Func, reflect.Interface:
		return nil, fmt.Errorf("%s: a %s cannot be written to a file", at, v.Type())
	default:
		return v.Interface(), nil
	}
}

func (e *Encoder) list(at string, v reflect.Value) (any, error) {
	out := make([]any, v.Len())
	for i := range out {
		value, err := e.value(Index(at, i), v.Index(i), reflect.Zero(v.Type().Elem()))
		if err != nil {
			return nil, err
		}
		out[i] = value
	}
	return out, nil
}

func (e *Encoder) mapping(at string, v reflect.Value) (any, error) {
	out := yaml.MapSlice{}
	byName := map[string]reflect.Value{}
	for _, k := range v.MapKeys() {
		byName[k.String()] = v.MapIndex(k)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		value, err := e.value(Join(at, name), byName[name], reflect.Zero(v.Type().Elem()))
		if err != nil {
			return nil, err
		}
		out = append(out, yaml.MapItem{Key: name, Value: value})
	}
	return out, nil
}

// Set puts a scalar, as it would be written in a file, into the field of the
// struct behind the pointer that a path such as "steady_state.for" names.
func Set(into any, path, text string) error {
	v := reflect.ValueOf(into).Elem()
	for name := range strings.SplitSeq(path, ".") {
		if v.Kind() != reflect.Struct {
			return fmt.Errorf("%s: %s is no mapping", path, v.Type())
		}
		f, ok := fieldNamed(Fields(v.Type()), name)
		if !ok {
			return fmt.Errorf("%s: no key is called %q", path, name)
		}
		v = v.FieldByIndex(f.Index)
	}
	d := &Document{places: map[string]ast.Node{}}
	d.Node("", ast.String(token.String(text, text, &token.Position{Line: 1, Column: 1})), v)
	if len(d.mistakes) > 0 {
		return fmt.Errorf("%s: %s; expected %s", path, d.mistakes[0].Problem, d.mistakes[0].Expected)
	}
	return nil
}
