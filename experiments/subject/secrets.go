package subject

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/yamlfile"
	"github.com/seatrial/seatrial/loadgen"
)

// shortestSecret is the length below which a value is not taken for a secret:
// redacting "1" would make a journal unreadable.
const shortestSecret = 4

// maxSecretFile bounds the files that ${file.PATH} reads.
const maxSecretFile = 64 << 10

// Secrets are the values that must never be written out: what ${env.NAME} and
// ${file.PATH} stood for, and the values of settings that look like
// credentials. Longest first, so that replacing them in order is right.
func (s *Subject) Secrets() []string {
	sorted := slices.Sorted(maps.Keys(s.secrets))
	slices.SortStableFunc(sorted, func(a, b string) int { return len(b) - len(a) })
	return sorted
}

func (s *Subject) keepSecret(value string) {
	value = strings.TrimSpace(value)
	if len(value) < shortestSecret {
		return
	}
	if s.secrets == nil {
		s.secrets = map[string]bool{}
	}
	s.secrets[value] = true
}

// secret is what ${env.NAME} or ${file.PATH} stands for. It is remembered for
// [Subject.Secrets].
func (s *Subject) secret(name string) (string, error) {
	kind, of, _ := strings.Cut(name, ".")
	if kind == "env" {
		value, ok := os.LookupEnv(of)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set; set it before seatrial is started", of)
		}
		s.keepSecret(value)
		return value, nil
	}
	value, err := readSecret(s.Path(of))
	if err != nil {
		return "", fmt.Errorf("read the secret ${%s}: %w", name, err)
	}
	s.keepSecret(value)
	return value, nil
}

func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New(path + " is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxSecretFile {
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxSecretFile)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

var (
	credential  = regexp.MustCompile(`(?i)(passw|secret|token|credential|private|api[_-]?key|access[_-]?key|auth|cookie)`)
	urlPassword = regexp.MustCompile(`://[^/\s:@]*:([^/\s@]+)@`)
	ofSecrets   = regexp.MustCompile(`\$\{((?:env|file)\.[^}]*)\}`)
)

// expandSecrets puts the values of ${env.NAME} and ${file.PATH} into the
// traffic, and remembers what else looks like a credential.
func (s *Subject) expandSecrets(d *yamlfile.Document) {
	s.keepCredentials(s.Service.Env)
	for _, c := range s.Service.Before {
		s.keepCredentials(c.Env)
	}
	t := &s.Traffic
	s.expandMap(d, "traffic.headers", t.Headers)
	s.keepCredentials(t.Headers)
	if c := t.Callers; c != nil {
		for i, value := range c.Values {
			c.Values[i] = s.expandSecret(d, yamlfile.Index("traffic.callers.values", i), value)
			s.keepCredentials(map[string]string{c.Header: c.Values[i]})
		}
	}
	for at, requests := range map[string][]loadgen.Request{"traffic.setup": t.Setup, "traffic.requests": t.Requests} {
		for i := range requests {
			r, path := &requests[i], yamlfile.Index(at, i)
			s.expandMap(d, path+".headers", r.Headers)
			s.expandMap(d, path+".vars", r.Vars)
			r.Body = s.expandSecret(d, path+".body", r.Body)
			s.keepCredentials(r.Headers)
		}
	}
}

// keepCredentials remembers values under names that look like credentials, and
// passwords in addresses. References and templates are no values yet.
func (s *Subject) keepCredentials(values map[string]string) {
	for name, value := range values {
		if !strings.Contains(value, "${") && !strings.Contains(value, "{{") && credential.MatchString(name) {
			s.keepSecret(value)
			s.keepSecret(strings.TrimPrefix(value, "Bearer "))
		}
		for _, m := range urlPassword.FindAllStringSubmatch(value, -1) {
			if !strings.Contains(m[1], "${") {
				s.keepSecret(m[1])
			}
		}
	}
}

func (s *Subject) expandMap(d *yamlfile.Document, at string, values map[string]string) {
	for name, value := range values {
		values[name] = s.expandSecret(d, yamlfile.Join(at, name), value)
	}
}

func (s *Subject) expandSecret(d *yamlfile.Document, at, text string) string {
	return ofSecrets.ReplaceAllStringFunc(text, func(reference string) string {
		value, err := s.secret(reference[2 : len(reference)-1])
		if err != nil {
			d.Mistake(at, err.Error(), "")
		}
		return value
	})
}
