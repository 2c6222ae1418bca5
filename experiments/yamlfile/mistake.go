// Package yamlfile reads YAML strictly into structs: every mistake in a file is
// found, not only the first, and each is told with its place, the offending
// line and what was expected there.
package yamlfile

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Mistake is one thing that is wrong with a file.
type Mistake struct {
	File         string
	Line, Column int    // from 1
	Source       string // the offending line
	Problem      string // what is wrong, in a few words
	Expected     string // what was expected; may be empty
}

// Error tells the mistake with its place and the line:
//
//	seatrial.yaml:4:3: unknown key "replica"; expected replicas, env, …
//	    4 |   replica: 3
//	      |   ^
func (m *Mistake) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s", m.File, m.Line, m.Column, m.Problem)
	if m.Expected != "" {
		fmt.Fprintf(&b, "; expected %s", m.Expected)
	}
	if m.Source != "" {
		number := fmt.Sprintf("%5d", m.Line)
		indent := strings.Map(keepTabs, prefix(m.Source, m.Column-1))
		fmt.Fprintf(&b, "\n%s | %s\n%s | %s^", number, m.Source, strings.Repeat(" ", len(number)), indent)
	}
	return b.String()
}

func keepTabs(r rune) rune {
	if r == '\t' {
		return r
	}
	return ' '
}

// prefix is the line's first n runes.
func prefix(line string, n int) string {
	runes := []rune(line)
	return string(runes[:max(0, min(n, len(runes)))])
}

// Mistakes are all that is wrong with a file, by place.
type Mistakes []*Mistake

// Error tells all of them, each on lines of its own.
func (ms Mistakes) Error() string {
	texts := make([]string, len(ms))
	for i, m := range ms {
		texts[i] = m.Error()
	}
	return strings.Join(texts, "\n")
}

// Unwrap gives the single mistakes to errors.As.
func (ms Mistakes) Unwrap() []error {
	errs := make([]error, len(ms))
	for i, m := range ms {
		errs[i] = m
	}
	return errs
}

// sorted orders mistakes by place and keeps the first that was found at each:
// the others follow from it.
func (ms Mistakes) sorted() Mistakes {
	ms = slices.Clone(ms)
	slices.SortStableFunc(ms, func(a, b *Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.CompactFunc(ms, func(a, b *Mistake) bool { return a.Line == b.Line && a.Column == b.Column })
}

// Nearest orders the choices by their likeness to the word and joins them for
// the "expected" of a mistake.
func Nearest(word string, choices []string) string {
	if len(choices) > mostChoices {
		return NearestFew(word, choices, fewChoices)
	}
	return oneOf(nearest(word, choices))
}

// Of more choices than a sentence bears only a few are told.
const (
	mostChoices = 20
	fewChoices  = 6
)

// NearestFew is [Nearest] cut to the n likeliest choices.
func NearestFew(word string, choices []string, n int) string {
	sorted := nearest(word, choices)
	if len(sorted) > n {
		return strings.Join(sorted[:n], ", ") + ", …"
	}
	return oneOf(sorted)
}

// Like keeps the choices that the word may be a slip of: those that half of its
// letters, and two at least, have to be changed for at the most.
func Like(word string, choices []string) []string {
	most := max(2, len(word)/2)
	return slices.DeleteFunc(slices.Clone(choices), func(c string) bool { return distance(word, c) > most })
}

func nearest(word string, choices []string) []string {
	sorted := slices.Sorted(slices.Values(choices))
	slices.SortStableFunc(sorted, func(a, b string) int {
		return cmp.Compare(distance(word, a), distance(word, b))
	})
	return sorted
}

func oneOf(words []string) string {
	switch len(words) {
	case 0:
		return "nothing here"
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// distance is Levenshtein's.
func distance(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		current := make([]int, len(b)+1)
		current[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			current[j+1] = min(previous[j]+change, previous[j+1]+1, current[j]+1)
		}
		previous = current
	}
	return previous[len(b)]
}

var passwordOf = regexp.MustCompile(`(:)([^/\s@:]+)@`)

// hidePasswords replaces the passwords of URLs by as many stars, so that
// columns stay.
func hidePasswords(line string) string {
	return passwordOf.ReplaceAllStringFunc(line, func(found string) string {
		parts := passwordOf.FindStringSubmatch(found)
		if strings.HasPrefix(parts[2], "${") {
			return found
		}
		return parts[1] + strings.Repeat("*", utf8.RuneCountInString(parts[2])) + "@"
	})
}
