package subject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/yamlfile"
)

// Expand replaces the references ${name} in a text by what lookup says of them,
// and "$$" by a dollar sign. Any other dollar sign stays as it is. The error
// names the first reference that lookup refuses, or one that is not closed.
func Expand(text string, lookup func(name string) (string, error)) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		switch {
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "{"):
			name, rest, closed := strings.Cut(after[1:], "}")
			if !closed {
				return "", fmt.Errorf("the reference ${%s is not closed by a brace", name)
			}
			value, err := lookup(name)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
			text = rest
		default:
			b.WriteByte('$')
			text = after
		}
	}
}

// facts are what can be referred to of a dependency, by its kind.
var facts = map[string][]string{
	Postgres: {"url", "owner_url", "host", "port", "user", "password", "database", "address"},
	Redis:    {"url", "host", "port", "address"},
	HTTP:     {"url", "host", "port", "address"},
	TCP:      {"host", "port", "address"},
}

// references lists all references that the subject knows; replicas' own only
// where there is a replica.
func (s *Subject) references(ofReplica bool) []string {
	known := []string{"dir", "scratch", "listen"}
	if ofReplica {
		known = append(known, "replica.name", "replica.index")
		for port := range s.Service.Ports {
			known = append(known, "port."+port)
		}
	}
	for _, d := range s.Dependencies {
		for _, f := range facts[d.Kind] {
			known = append(known, d.Name+"."+f)
		}
	}
	return known
}

func isSecretReference(name string) bool {
	return strings.HasPrefix(name, "env.") || strings.HasPrefix(name, "file.")
}

// checkReferences takes down the references in a text that nothing stands for.
func (s *Subject) checkReferences(d *yamlfile.Document, at, text string, ofReplica bool) {
	known := s.references(ofReplica)
	_, err := Expand(text, func(name string) (string, error) {
		switch {
		case isSecretReference(name):
			value, err := s.secret(name)
			if err != nil {
				d.Mistake(at, err.Error(), "")
			}
			return value, nil
		case strings.HasPrefix(name, "port.") && len(s.Service.Ports) == 0:
			// The ports themselves are wrong; that is said of them.
		case !slices.Contains(known, name):
			d.Mistake(at, "nothing is called ${"+name+"}", nearestReferences(name, known))
		}
		return "", nil
	})
	if err != nil {
		d.Mistake(at, err.Error(), "${name}, or $$ for a dollar sign")
	}
}

func nearestReferences(name string, known []string) string {
	all := make([]string, len(known))
	for i, k := range known {
		all[i] = "${" + k + "}"
	}
	return yamlfile.NearestFew("${"+name+"}", all, 4)
}
