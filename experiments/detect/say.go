package detect

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// say is fmt.Sprintf for sentences that are written of several things, where
// there may be one: "%d requests were sent" becomes "1 request was sent". Only
// the format is reworded, never what is filled in.
func say(format string, args ...any) string {
	text := fmt.Sprintf(format, args...)
	for _, a := range args {
		if single(a) {
			return fmt.Sprintf(agree(format, args), args...)
		}
	}
	return text
}

// single reports whether an argument is the number one.
func single(arg any) bool {
	switch n := arg.(type) {
	case int:
		return n == 1
	case uint64:
		return n == 1
	case float64:
		return n == 1
	case string:
		return n == "1"
	}
	return false
}

// verb is what stands for one argument in a format.
var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)

// agree rewords a format after each of its arguments that is one, as far as the
// next number.
func agree(format string, args []any) string {
	var out strings.Builder
	end, one := 0, false
	until := func(at int) {
		text := format[end:at]
		if one {
			text = ofOne(text)
		}
		out.WriteString(text)
		end = at
	}
	for i, at := range verb.FindAllStringIndex(strings.ReplaceAll(format, "%%", "  "), -1) {
		if i == len(args) {
			break
		}
		if now := single(args[i]); now || strings.ContainsRune("dgf", rune(format[at[1]-1])) {
			until(at[0])
			one = false
			until(at[1])
			one = now
		}
	}
	until(len(format))
	return out.String()
}

var (
	// countedThing is what was counted, with up to two words before it.
	countedThing = regexp.MustCompile(`^((?: [a-z-]+){0,2}? )(requests|calls|attempts|connections|backends|replicas|` +
		`samples|keys|answers|hits|polls|writes|reads|registers|results|rows|values|errors|lines|steps|times|exchanges|` +
		`sleeps|scrapes|routes|transactions|submissions|readers|refusals|crashes|migrators|phases|questions|tables|spans|` +
		`failures|queries|bodies|retries|pairs|waits|bytes)\b`)
	// other are words before which nothing is counted: "1 of the requests".
	other = regexp.MustCompile(` (of|and|or|to|in|at|for|by|with|that|more|were|are)\b`)
	// saidOf is the first thing said of it before the sentence goes on.
	saidOf  = regexp.MustCompile(`^([^,;:.(]*? )(were|are|have|do|name|carry)\b`)
	thatUse = regexp.MustCompile(`^( [a-z-]+ that) use\b`)
)

// singular are the forms that an s does not make.
var singular = map[string]string{
	"queries": "query", "bodies": "body", "retries": "retry", "crashes": "crash",
	"were": "was", "are": "is", "have": "has", "do": "does", "name": "names", "carry": "carries",
}

// ofOne rewords what is said of several things after their number.
func ofOne(text string) string {
	if m := countedThing.FindStringSubmatch(text); m != nil && !other.MatchString(m[1]) {
		text = m[1] + cmp.Or(singular[m[2]], strings.TrimSuffix(m[2], "s")) + text[len(m[0]):]
		text = thatUse.ReplaceAllString(text, "$1 uses")
	}
	m := saidOf.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	said, rest := m[1]+singular[m[2]], text[len(m[0]):]
	if strings.HasSuffix(m[1], " that ") { // what is said of it comes after that
		return said + ofOne(rest)
	}
	return said + rest
}
