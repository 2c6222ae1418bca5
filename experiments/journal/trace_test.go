package journal

import (
	"strings"
	"testing"
)

func TestTraceIsThatOfItsHitOnly(t *testing.T) {
	seen := map[TraceContext]bool{}
	for _, attack := range []string{"load", "crowd"} {
		for seq := range uint64(1000) {
			c := Trace("run-1", attack, seq)
			if seen[c] {
				t.Fatalf("%s %d has the context of another hit", attack, seq)
			}
			seen[c] = true
			if back, ok := ParseTraceparent(c.Traceparent()); !ok || back != c {
				t.Fatalf("%q is read as %v, %v", c.Traceparent(), back, ok)
			}
		}
	}
	const fixed = "00-d07bfa6880f8ea07c28609113da647db-a8b5cf5f84af295d-01"
	if got := Trace("r", "load", 7).Traceparent(); got != fixed {
		t.Errorf("the context of a recorded run has changed: %s", got)
	}
	if Trace("r", "load", 7) == Trace("s", "load", 7) {
		t.Error("another run has the same context")
	}
}

func TestParseTraceparent(t *testing.T) {
	trace, span := strings.Repeat("4b", 16), strings.Repeat("0a", 8)
	good := "00-" + trace + "-" + span + "-01"
	for header, want := range map[string]bool{
		good: true, "00-" + trace + "-" + span + "-00": true,
		"01-" + trace + "-" + span + "-01-more": true,
		"":                                      false, good[:54]: false, good + "0": false, good + "-more": false,
		"01-" + trace + "-" + span + "-01more":                    false,
		"ff-" + trace + "-" + span + "-01":                        false,
		"00-" + strings.ToUpper(trace) + "-" + span + "-01":       false,
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01":      false,
		"00-" + trace + "-" + strings.Repeat("0", 16) + "-01":     false,
		"00_" + trace + "-" + span + "-01":                        false,
		"00-" + strings.Repeat("-", 32) + "-" + span + "-01":      false,
		strings.Repeat("é", 28):                                   false,
		"00-" + strings.Repeat("zz", 16) + "-" + span + "-01":     false,
		"0g-" + trace + "-" + span + "-01":                        false,
		"00-" + trace + "-" + span + "-zz":                        false,
		"00-" + trace + "-" + strings.Repeat("0A", 8) + "-01":     false,
		"cc-" + trace + "-" + span + "-01":                        true,
		"00-" + trace + strings.Repeat("a", 1) + span + "-01aaaa": false,
	} {
		if _, ok := ParseTraceparent(header); ok != want {
			t.Errorf("%q is read: %v", header, ok)
		}
	}
}

func FuzzParseTraceparent(f *testing.F) {
	f.Add(Trace("run", "load", 1).Traceparent())
	f.Add("00-" + strings.Repeat("0", 32))
	f.Fuzz(func(t *testing.T, header string) {
		c, ok := ParseTraceparent(header)
		if ok && c.Traceparent()[3:52] != header[3:52] {
			t.Errorf("%q is read as %q", header, c.Traceparent())
		}
	})
}
