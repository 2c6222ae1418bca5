package report

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// promise is one promise as the reports show it.
type promise struct {
	Name, Value string
	Default     bool
}

// promises lists all promises in the order of their declaration; those that
// were not said and have no value are left out.
func promises(p journal.Promises, defaults []string) []promise {
	v := reflect.ValueOf(p)
	var out []promise
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		value, said := promised(name, v.Field(i))
		if said {
			out = append(out, promise{Name: name, Value: value, Default: slices.Contains(defaults, name)})
		}
	}
	return out
}

func promised(name string, v reflect.Value) (string, bool) {
	if v.IsZero() {
		return "", false
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return Span(d), true
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		if strings.HasSuffix(name, "_bytes") {
			return bytesOf(float64(v.Int())), true
		}
		return number(float64(v.Int())), true
	case reflect.Float64:
		return Figure(name, v.Float(), "1"), true
	}
	return Clean(v.String()), true
}

// PromiseValues are the promises that were said or have a default, as the
// reports show them, by name.
func PromiseValues(p journal.Promises) map[string]string {
	out := map[string]string{}
	for _, p := range promises(p, nil) {
		out[p.Name] = p.Value
	}
	return out
}
