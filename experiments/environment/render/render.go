// Package render fills in the references of a subject's strings, such as
// ${postgres.url} and ${port.http}. All backends use it, so that a subject
// file means the same in each.
package render

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/environment/redact"
)

// Scope is what references stand for at one place. The zero value knows only
// ${env.NAME} and ${file.PATH}.
type Scope struct {
	// Values are the references by name, without "${" and "}".
	Values map[string]string
	// Dir is the folder that ${file.PATH} starts from.
	Dir string
	// Secrets are told of every ${env.NAME} and ${file.PATH} that was filled in.
	Secrets *redact.Secrets
}

// With is the scope with more values; later ones win.
func (s Scope) With(values map[string]string) Scope {
	all := maps.Clone(s.Values)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, values)
	s.Values = all
	return s
}

// String fills in text. "$$" stands for a dollar sign; a dollar sign before
// anything but "{" or another one stands for itself. An unknown reference is an
// error that names the known ones.
func (s Scope) String(text string) (string, error) {
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i == len(text)-1 {
			out.WriteString(text)
			return out.String(), nil
		}
		out.WriteString(text[:i])
		switch text[i+1] {
		case '$':
			out.WriteByte('$')
			text = text[i+2:]
		case '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return "", fmt.Errorf("%.40q has no closing brace; write $$ for a dollar sign", text[i:])
			}
			v, err := s.lookup(text[i+2 : i+end])
			if err != nil {
				return "", err
			}
			out.WriteString(v)
			text = text[i+end+1:]
		default:
			out.WriteByte('$')
			text = text[i+1:]
		}
	}
}

func (s Scope) lookup(name string) (string, error) {
	if v, ok := s.Values[name]; ok {
		return v, nil
	}
	if v, ok := strings.CutPrefix(name, "env."); ok {
		value, set := os.LookupEnv(v)
		if !set {
			return "", fmt.Errorf("${%s}: the environment variable %s is not set", name, v)
		}
		return s.secret(value), nil
	}
	if path, ok := strings.CutPrefix(name, "file."); ok {
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.Dir, path)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", name, err)
		}
		return s.secret(strings.TrimRight(string(b), "\r\n")), nil
	}
	return "", fmt.Errorf("unknown reference ${%s}; known are %s", name, s.known())
}

func (s Scope) secret(v string) string {
	if s.Secrets != nil {
		s.Secrets.Add(v)
	}
	return v
}

func (s Scope) known() string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.Values)) {
		names = append(names, "${"+name+"}")
	}
	return strings.Join(append(names, "${env.NAME}", "${file.PATH}"), ", ")
}

// Strings fills in a list.
func (s Scope) Strings(texts []string) ([]string, error) {
	out := make([]string, len(texts))
	for i, text := range texts {
		v, err := s.String(text)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// Env fills in environment entries and returns them as NAME=value, sorted.
// Values that look like credentials are told to Secrets.
func (s Scope) Env(entries map[string]string) ([]string, error) {
	out := make([]string, 0, len(entries))
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		v, err := s.String(entries[name])
		if err != nil {
			return nil, fmt.Errorf("env %s: %w", name, err)
		}
		if s.Secrets != nil {
			s.Secrets.AddEnv(name, v)
		}
		out = append(out, name+"="+v)
	}
	return out, nil
}

// Files writes files into a folder: name to content, both filled in. A name
// that leads out of the folder is an error.
func (s Scope) Files(dir string, files map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("file %q: its name leads out of the replica's folder", name)
		}
		content, err := s.String(files[name])
		if err != nil {
			return fmt.Errorf("file %s: %w", name, err)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("write file %s: %w", name, err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return fmt.Errorf("write file %s: %w", name, err)
		}
	}
	return nil
}
