package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"short":   {"as it is\n\n", "as it is\n\n"},
		"words":   {"    one two three four five\n", "    one two three\n      four five\n"},
		"columns": {"name      12s  Title\n", "name      12s  Title\n"},
		"wide":    {"  " + strings.Repeat("x", 30) + " y\n", "  " + strings.Repeat("x", 30) + "\n    y\n"},
		"colour":  {"\x1b[31mone two three four\x1b[0m\n", "\x1b[31mone two three four\x1b[0m\n"},
		"unended": {"one\ntwo", "one\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := Wrap(&b, 20)
			for _, c := range tt.text { // piece by piece
				fmt.Fprint(w, string(c))
			}
			if b.String() != tt.want {
				t.Errorf("got %q, want %q", b.String(), tt.want)
			}
		})
	}
}

// TestWrappedTrialFits wraps all of a trial and loses nothing of it.
func TestWrappedTrialFits(t *testing.T) {
	var plain, wrapped bytes.Buffer
	Text{Verbose: true}.Write(&plain, sampleTrial())
	Text{Verbose: true, Color: true}.Write(Wrap(&wrapped, 80), sampleTrial())
	for line := range strings.Lines(wrapped.String()) {
		if visible(strings.TrimRight(line, "\n")) > 80 && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("too wide: %q", line)
		}
	}
	bare := func(s string) string {
		for {
			before, after, found := strings.Cut(s, "\x1b[")
			if !found {
				return strings.Join(strings.Fields(s), " ")
			}
			_, after, _ = strings.Cut(after, "m")
			s = before + after
		}
	}
	if bare(plain.String()) != bare(wrapped.String()) {
		t.Error("wrapping changes the words")
	}
}
