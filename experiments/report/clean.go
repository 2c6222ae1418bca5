package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes text that a service may have printed harmless on a terminal, in
// XML and in HTML: control characters (escape sequences among them), format
// characters such as the ones that turn the direction of writing, and bytes
// that are no UTF-8 are written out as \x1b or \u202e. Line breaks and tabs
// become spaces.
func Clean(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size <= 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case harmless(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += size
	}
	return b.String()
}

// CleanLines is Clean for a text of several lines, such as an error that shows where
// a file is wrong: its lines stay, and what is indented by a tab is so by four spaces.
func CleanLines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range lines {
		lines[i] = Clean(strings.ReplaceAll(lines[i], "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// harmless reports whether a rune is shown as itself: letters, marks, numbers,
// punctuation, symbols and plain spaces.
func harmless(r rune) bool {
	return r == ' ' || unicode.IsPrint(r) || unicode.Is(unicode.Zs, r)
}
