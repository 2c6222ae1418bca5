package wiretap

import (
	"bytes"
	"strings"
)

// maxText bounds a normalised text, in bytes; it is cut at a letter's border.
const maxText = 1000

// maxTexts bounds how many texts of a connection are kept.
const maxTexts = 1000

// texts keeps the normalised texts of what a connection asks, which are few
// where its statements are many. The zero value is empty.
type texts struct {
	known   map[string]*prepared
	scratch []byte
}

// of is a statement's normalised text.
func (t *texts) of(sql []byte) *prepared {
	t.scratch = appendNormalised(t.scratch[:0], sql)
	if p := t.known[string(t.scratch)]; p != nil {
		return p
	}
	if t.known == nil || len(t.known) >= maxTexts {
		t.known = map[string]*prepared{}
	}
	key := string(t.scratch)
	text := strings.ToValidUTF8(key, "")
	p := &prepared{text: text, verb: verb(text)}
	t.known[key] = p
	return p
}

// appendNormalised appends a statement's text without values to an empty slice:
// string and number literals become "?", comments go, white space is one blank.
// Identifiers and the placeholders $1 stay. It reads standard SQL strings, E'…',
// and $tag$…$tag$.
func appendNormalised(empty, sql []byte) []byte {
	n := normaliser{in: sql, out: empty}
	for n.at < len(n.in) && len(n.out) < maxText {
		n.next()
	}
	out := n.out
	if len(out) > maxText {
		out = out[:maxText]
	}
	return bytes.TrimRight(out, " ")
}

type normaliser struct {
	in  []byte
	at  int
	out []byte
}

func (n *normaliser) rest() []byte { return n.in[n.at:] }

// next takes one token.
func (n *normaliser) next() {
	c := n.in[n.at]
	switch {
	case isSpace(c):
		n.blank(1)
	case bytes.HasPrefix(n.rest(), []byte("--")):
		n.blank(index(n.rest(), "\n"))
	case bytes.HasPrefix(n.rest(), []byte("/*")):
		n.blank(commentLen(n.rest()))
	case c == '\'':
		n.literal(stringLen(n.rest(), false))
	case c == '"':
		n.keep(1 + index(n.rest()[1:], "\""))
	case c == '$':
		n.dollar()
	case isDigit(c), c == '.' && len(n.rest()) > 1 && isDigit(n.rest()[1]):
		n.literal(numberLen(n.rest()))
	case isLetter(c):
		n.word()
	default:
		n.keep(1)
	}
}

func (n *normaliser) keep(length int) {
	length = min(length, len(n.rest()))
	n.out = append(n.out, n.rest()[:length]...)
	n.at += length
}

func (n *normaliser) literal(length int) {
	n.out = append(n.out, '?')
	n.at += min(length, len(n.rest()))
}

func (n *normaliser) blank(length int) {
	if len(n.out) > 0 && n.out[len(n.out)-1] != ' ' {
		n.out = append(n.out, ' ')
	}
	n.at += min(max(length, 1), len(n.rest()))
}

// word is an identifier or keyword, or the prefix of a string literal.
func (n *normaliser) word() {
	length := 1
	for length < len(n.rest()) && (isLetter(n.rest()[length]) || isDigit(n.rest()[length]) || n.rest()[length] == '$') {
		length++
	}
	if length < len(n.rest()) && n.rest()[length] == '\'' && length == 1 {
		switch n.in[n.at] | 0x20 {
		case 'e':
			n.literal(1 + stringLen(n.rest()[1:], true))
			return
		case 'b', 'x', 'n':
			n.literal(1 + stringLen(n.rest()[1:], false))
			return
		}
	}
	n.keep(length)
}

// dollar is a placeholder, or a string in dollar quotes.
func (n *normaliser) dollar() {
	length := 1
	for length < len(n.rest()) && (isLetter(n.rest()[length]) || isDigit(n.rest()[length])) {
		length++
	}
	if length < len(n.rest()) && n.rest()[length] == '$' && (length == 1 || !isDigit(n.rest()[1])) {
		tag := string(n.rest()[:length+1])
		n.literal(length + 1 + index(n.rest()[length+1:], tag) + len(tag) - 1)
		return
	}
	n.keep(length)
}

// stringLen is the length of a literal that begins with its quote.
func stringLen(in []byte, escapes bool) int {
	for i := 1; i < len(in); i++ {
		switch {
		case escapes && in[i] == '\\':
			i++
		case in[i] == '\'' && i+1 < len(in) && in[i+1] == '\'':
			i++
		case in[i] == '\'':
			return i + 1
		}
	}
	return len(in)
}

// commentLen is the length of a comment, which may hold others.
func commentLen(in []byte) int {
	depth := 0
	for i := 0; i+1 < len(in); i++ {
		switch string(in[i : i+2]) {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(in)
}

func numberLen(in []byte) int {
	i := 0
	for i < len(in) && (isDigit(in[i]) || isLetter(in[i]) || in[i] == '.' ||
		(in[i] == '-' || in[i] == '+') && i > 0 && in[i-1]|0x20 == 'e' && in[0] != '0') {
		i++
	}
	return i
}

// index is where what begins, counted to behind its first byte; the whole length
// where it does not occur.
func index(in []byte, what string) int {
	if i := bytes.Index(in, []byte(what)); i >= 0 {
		return i + 1
	}
	return len(in)
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isLetter(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80
}

// verb is a statement's first word, in capital letters.
func verb(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return r > 0x7f || !isLetter(byte(r)) })
	if end < 0 {
		end = len(text)
	}
	return strings.ToUpper(text[:min(end, 16)])
}

// canary is a word to look for, in letters of either case.
type canary struct{ lower, upper []byte }

func newCanary(word string) canary {
	return canary{[]byte(strings.ToLower(word)), []byte(strings.ToUpper(word))}
}

func (c canary) in(b []byte) bool {
	return len(c.lower) > 0 && len(b) >= len(c.lower) && (bytes.Contains(b, c.lower) || bytes.Contains(b, c.upper))
}
