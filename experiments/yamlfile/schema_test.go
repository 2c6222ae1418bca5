package yamlfile

import (
	"regexp"
	"testing"
	"time"
)

func TestDurationPatternIsGos(t *testing.T) {
	pattern := regexp.MustCompile(durationPattern)
	for _, text := range []string{
		"1s", "1.5s", "250ms", "1m30s", "1h2m3.5s", ".5s", "10us", "10µs", "5", "s",
		"1 s", "", "1s2", "-1s", "+1s", "1d", "1.s", "1e3s",
	} {
		_, err := time.ParseDuration(text)
		good := err == nil && text != "0" && text[0] != '-' && text[0] != '+'
		if pattern.MatchString(text) != good {
			t.Errorf("%q: the pattern says %v, time.ParseDuration %v", text, !good, err)
		}
	}
}
