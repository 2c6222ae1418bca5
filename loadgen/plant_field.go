package loadgen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// field is a value of a caller's in a request: where it is, and how another one
// is put there.
type field struct {
	name string
	put  func(t *Target, value string) error
}

// replaced is a target with another value in the field's place. The target is
// the caller's own to change.
func (f field) replaced(t Target, value string) (Target, error) {
	q := *t.request
	q.path.made = true // its URL is no longer the same for every hit
	t.request = &q
	err := f.put(&t, value)
	return t, err
}

// fieldsOf lists the values of a target that a caller chooses: segments of the
// path that are templates, parameters of the query, the headers that its request
// names beside those of HTTP itself and those with credentials, and the strings
// of a JSON body or the values of a form. Of a list the first element stands for
// all.
func fieldsOf(t Target) []field {
	return slices.Concat(pathFields(t), queryFields(t), headerFields(t), bodyFields(t))
}

func pathFields(t Target) (found []field) {
	made, _, _ := strings.Cut(t.request.Path, "?")
	path, _, _ := strings.Cut(t.Path, "?")
	templates, segments := strings.Split(made, "/"), strings.Split(path, "/")
	if len(templates) != len(segments) {
		return nil // an action holds a slash
	}
	for n, s := range templates {
		if !strings.Contains(s, "{{") {
			continue
		}
		found = append(found, field{fmt.Sprintf("path segment %d", n), func(t *Target, value string) error {
			path, query, asked := strings.Cut(t.Path, "?")
			segments := strings.Split(path, "/")
			if n >= len(segments) {
				return errNoField
			}
			segments[n] = url.PathEscape(value)
			t.Path = strings.Join(segments, "/")
			if asked {
				t.Path += "?" + query
			}
			return nil
		}})
	}
	return found
}

func queryFields(t Target) (found []field) {
	_, query, _ := strings.Cut(t.Path, "?")
	for _, name := range parameters(query) {
		found = append(found, field{"query " + name, func(t *Target, value string) error {
			path, query, _ := strings.Cut(t.Path, "?")
			changed, err := withParameter(query, name, value)
			t.Path = path + "?" + changed
			return err
		}})
	}
	return found
}

func parameters(query string) []string {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(values))
}

func withParameter(query, name, value string) (string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", err
	}
	values.Set(name, value)
	return values.Encode(), nil
}

// ofHTTP are headers that the protocol itself reads.
var ofHTTP = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Connection", "Content-Encoding", "Content-Length",
	"Content-Type", "Expect", "Host", "Te", "Transfer-Encoding", "Upgrade",
}

func headerFields(t Target) (found []field) {
	for _, name := range slices.Sorted(maps.Keys(t.request.Headers)) {
		name = canonical(name)
		if slices.Contains(ofHTTP, name) || secretHeader(name) {
			continue
		}
		found = append(found, field{"header " + name, func(t *Target, value string) error {
			t.Header[name] = []string{value}
			return nil
		}})
	}
	return found
}

func bodyFields(t Target) (found []field) {
	if strings.HasPrefix(t.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		for _, name := range parameters(t.Body) {
			found = append(found, field{"body " + name, func(t *Target, value string) (err error) {
				t.Body, err = withParameter(t.Body, name, value)
				return err
			}})
		}
		return found
	}
	document, err := decoded(t.Body)
	if err != nil {
		return nil
	}
	for _, path := range stringsIn(document, nil) {
		found = append(found, field{"body " + jsonPath(path), func(t *Target, value string) error {
			document, err := decoded(t.Body)
			if err != nil {
				return err
			}
			if document, err = with(document, path, value); err != nil {
				return err
			}
			b, err := json.Marshal(document)
			t.Body = string(b)
			return err
		}})
	}
	return found
}

// decoded is a JSON document whose numbers stay as they are written.
func decoded(body string) (any, error) {
	d := json.NewDecoder(bytes.NewReader([]byte(body)))
	d.UseNumber()
	var document any
	err := d.Decode(&document)
	return document, err
}

// stringsIn lists where the strings of a JSON document are: by the names of
// members, and 0 for the first element of a list.
func stringsIn(document any, at []any) (paths [][]any) {
	switch v := document.(type) {
	case string:
		paths = append(paths, slices.Clone(at))
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			paths = append(paths, stringsIn(v[name], append(at, name))...)
		}
	case []any:
		if len(v) > 0 {
			paths = append(paths, stringsIn(v[0], append(at, 0))...)
		}
	}
	return paths
}

// with puts a value in a place of a JSON document.
func with(document any, at []any, value string) (any, error) {
	if len(at) == 0 {
		return value, nil
	}
	var err error
	switch v := document.(type) {
	case map[string]any:
		name, _ := at[0].(string)
		if _, ok := v[name]; !ok {
			return nil, errNoField
		}
		v[name], err = with(v[name], at[1:], value)
	case []any:
		if len(v) == 0 {
			return nil, errNoField
		}
		v[0], err = with(v[0], at[1:], value)
	default:
		return nil, errNoField
	}
	return document, err
}

func jsonPath(at []any) string {
	var b strings.Builder
	b.WriteByte('$')
	for _, step := range at {
		if name, ok := step.(string); ok {
			b.WriteString("." + name)
		} else {
			b.WriteString("[0]")
		}
	}
	return b.String()
}
