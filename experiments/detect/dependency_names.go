package detect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seatrial/seatrial/experiments/journal"
)

// kindWords are how metrics call dependencies of a kind.
var kindWords = map[string][]string{
	"postgres": {"sql", "db", "database", "postgres", "postgresql", "pg", "pgx", "pgxpool", "query", "queries"},
	"redis":    {"redis", "cache", "rueidis"},
	"http":     {"http_client", "client_http"},
}

// anyWords say that a series is some dependency's.
var anyWords = []string{"client", "outbound", "outgoing", "upstream", "dependency", "downstream", "external", "remote"}

// belonging says how strongly a series belongs to a dependency: 3 by its name, 2
// by its kind where it is the only one of it, 1 where it is some dependency's, or
// some one's of a kind of which there are several, 0 not.
type belonging struct {
	owner    string // of 3 and 2
	strength int
	kind     string // of 1, where there are several of that kind
}

// may says that a series that names nobody can only be this dependency's, or that
// of another kind: where there are two of a kind, it does not tell them apart.
func (b belonging) may(h journal.Header, dep journal.DependencyInfo) bool {
	return b.strength == 1 && b.kind == "" && len(siblings(h, dep)) == 0
}

// vague says that a series may be this dependency's or that of another of its kind.
func (b belonging) vague(h journal.Header, dep journal.DependencyInfo) bool {
	return b.strength == 1 && (b.kind == "" || b.kind == dep.Kind) && len(siblings(h, dep)) > 0
}

// siblings are the other dependencies of a dependency's kind.
func siblings(h journal.Header, dep journal.DependencyInfo) []string {
	var names []string
	for _, d := range h.Dependencies {
		if d.Kind == dep.Kind && d.Name != dep.Name {
			names = append(names, d.Name)
		}
	}
	return names
}

// tieTo finds whom a series belongs to. Of several names that it says, a whole
// label's value goes first, and then the longest: payments-eu is not payments.
func (p *DependencyMetrics) tieTo(h journal.Header, s journal.Sample) belonging {
	text, values := []string{plain(s.Name)}, []string{}
	for _, label := range slices.Sorted(maps.Keys(s.Labels)) {
		if label != "le" && label != "quantile" {
			text = append(text, plain(label), plain(s.Labels[label]))
			values = append(values, plain(s.Labels[label]))
		}
	}
	says := func(word string) bool {
		return slices.ContainsFunc(text, func(t string) bool { return hasToken(t, plain(word)) })
	}
	var named belonging
	best := 0
	kinds := map[string]int{}
	for _, dep := range h.Dependencies {
		kinds[dep.Kind]++
		for _, word := range append([]string{dep.Name}, p.Names[dep.Name]...) {
			weight := len(word)
			if slices.Contains(values, plain(word)) {
				weight += maxName
			}
			if says(word) && weight > best {
				named, best = belonging{owner: dep.Name, strength: 3}, weight
			}
		}
	}
	if best > 0 {
		return named
	}
	return byKind(h, kinds, says)
}

// maxName is above the length of any name.
const maxName = 1 << 10

func byKind(h journal.Header, kinds map[string]int, says func(string) bool) belonging {
	several := ""
	for _, dep := range h.Dependencies {
		switch {
		case !slices.ContainsFunc(kindWords[dep.Kind], says):
		case kinds[dep.Kind] == 1:
			return belonging{owner: dep.Name, strength: 2}
		default:
			several = dep.Kind
		}
	}
	if several != "" || slices.ContainsFunc(anyWords, says) {
		return belonging{strength: 1, kind: several}
	}
	return belonging{}
}

// namesLooked is what a series must say to be a dependency's where there are
// others of its kind; empty where there are none.
func namesLooked(h journal.Header, dep journal.DependencyInfo) string {
	others := siblings(h, dep)
	if len(others) == 0 {
		return ""
	}
	return fmt.Sprintf("names %s in its name or in a label, as %s is of the same kind (dependency_metrics.names of the "+
		"subject's detectors lists further words for each)", dep.Name, strings.Join(others, " and "))
}

// vagueSaid tells of a series that does not say which of several it belongs to.
func vagueSaid(h journal.Header, dep journal.DependencyInfo, family string) string {
	if family == "" {
		return ""
	}
	return fmt.Sprintf("; %s says neither %s nor %s: label each call by the dependency that it goes to", family, dep.Name,
		strings.Join(siblings(h, dep), " nor "))
}

// plain is a name in small letters, with _ for all that is no letter or digit.
func plain(name string) string {
	text := []byte(strings.ToLower(name))
	for i, b := range text {
		if b < utf8.RuneSelf && !alphanumeric(b) {
			text[i] = '_'
		}
	}
	return string(text)
}

// hasToken says that a text has a word between characters that are no letters
// or digits: db is in "db_query" and not in "feedback".
func hasToken(text, word string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 || word == "" {
			return false
		}
		start, end := from+i, from+i+len(word)
		if (start == 0 || !alphanumeric(text[start-1])) && (end == len(text) || !alphanumeric(text[end])) {
			return true
		}
		from = start + 1
	}
}

func alphanumeric(b byte) bool { return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' }
