// Package redact takes secrets out of text before it is written anywhere.
package redact

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Mark stands where a secret was.
const Mark = "[secret]"

// Secrets are values that must not be written out. The zero value knows none,
// and still cleans passwords in URLs and authorization headers.
type Secrets struct {
	mu       sync.RWMutex
	values   []string
	replacer *strings.Replacer
}

// shortest is the length below which a value is taken for no secret: replacing
// every "1" or "true" would destroy the text and hide nothing.
const shortest = 5

// Add remembers secret values. Of a value with several lines each is one.
func (s *Secrets) Add(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, value := range values {
		for _, v := range append(strings.Split(value, "\n"), url.QueryEscape(value), url.PathEscape(value)) {
			v = strings.TrimSpace(v)
			if len(v) >= shortest && !slices.Contains(s.values, v) {
				s.values = append(s.values, v)
			}
		}
	}
	// The longest first, so that no part of one is left over.
	slices.SortStableFunc(s.values, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	pairs := make([]string, 0, 2*len(s.values))
	for _, v := range s.values {
		pairs = append(pairs, v, Mark)
	}
	s.replacer = strings.NewReplacer(pairs...)
}

// AddEnv remembers the value of an environment entry when its name looks like
// that of a credential, or when it is a URL with a password.
func (s *Secrets) AddEnv(name, value string) {
	if LooksSecret(name) {
		s.Add(value)
	}
	if u, err := url.Parse(value); err == nil && u.User != nil {
		if password, ok := u.User.Password(); ok {
			s.Add(password)
		}
	}
}

var (
	credential = regexp.MustCompile(`(?i)PASSW|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|API_?KEY|COOKIE|` +
		`(^|_)(PASS|PWD|AUTH|SALT|[A-Z]*KEY)(_|$)`)
	inURL  = regexp.MustCompile(`(://[^/\s:@]*:)[^/\s@]+@`)
	header = regexp.MustCompile(`(?i)((?:authorization|cookie)"?\s*[:=]\s*"?(?:bearer |basic )?)[^\s"]+`)
)

// LooksSecret reports whether an environment entry of this name looks like a
// credential.
func LooksSecret(name string) bool {
	return credential.MatchString(name) && !strings.HasSuffix(strings.ToUpper(name), "_FILE")
}

// Clean is text without the secrets, without passwords in URLs and without the
// values of Authorization and Cookie headers.
func (s *Secrets) Clean(text string) string {
	if s != nil {
		s.mu.RLock()
		if s.replacer != nil {
			text = s.replacer.Replace(text)
		}
		s.mu.RUnlock()
	}
	if strings.Contains(text, "://") {
		text = inURL.ReplaceAllString(text, "${1}"+Mark+"@")
	}
	if strings.ContainsAny(text, ":=") {
		text = header.ReplaceAllString(text, "${1}"+Mark)
	}
	return text
}
