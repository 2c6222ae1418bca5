package report

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// Wrap breaks lines that are wider than a terminal between words, and sets what
// is left of them a little in. Escape sequences of [Text.Color] take no room; a
// word that is wider than the terminal stays whole. A line is written when its
// end has come.
func Wrap(w io.Writer, width int) io.Writer { return &wrapper{w: w, width: width} }

type wrapper struct {
	w     io.Writer
	width int
	line  []byte // that has not ended yet
}

// Write takes in any piece of text.
func (x *wrapper) Write(b []byte) (int, error) {
	x.line = append(x.line, b...)
	for {
		end := bytes.IndexByte(x.line, '\n')
		if end < 0 {
			return len(b), nil
		}
		if _, err := io.WriteString(x.w, wrapLine(string(x.line[:end]), x.width)+"\n"); err != nil {
			return 0, err
		}
		x.line = x.line[end+1:]
	}
}

// hang is how far what is left of a line is set in, beyond the line's own
// beginning.
const hang = 2

func wrapLine(line string, width int) string {
	indent := strings.Repeat(" ", len(line)-len(strings.TrimLeft(line, " "))+hang)
	var b strings.Builder
	column, written := 0, false
	for i, word := range strings.Split(line, " ") {
		size := visible(word)
		switch {
		case i == 0:
		case written && column+1+size > width && size > 0:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += size
		written = written || size > 0
	}
	return b.String()
}

// visible is how many characters of a word are shown: all but escape sequences.
func visible(word string) int {
	n := 0
	for {
		before, after, found := strings.Cut(word, "\x1b[")
		n += utf8.RuneCountInString(before)
		if !found {
			return n
		}
		_, word, _ = strings.Cut(after, "m")
	}
}
