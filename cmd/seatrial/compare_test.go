package main

import (
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments/history"
)

// What a server said of its version is data.
func TestCompareIsHarmless(t *testing.T) {
	const evil = "\x1b[2J"
	var said strings.Builder
	compare(&said, history.Comparison{
		Circumstances: []string{"postgres was 15, and is " + evil},
		Changes: []history.Change{
			{Kind: history.Worse, Experiment: evil, Detector: evil, Now: evil, Was: evil, Reason: evil},
		},
	})
	if got := said.String(); strings.Contains(got, "\x1b") || strings.Count(got, `\x1b[2J`) != 6 {
		t.Errorf("got %q", got)
	}
}
