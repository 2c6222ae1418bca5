package main

import (
	"testing"

	"github.com/seatrial/seatrial/experiments"
)

// The exit code is the outcome of what was really tried.
func TestExitCodes(t *testing.T) {
	t.Run("passed", func(t *testing.T) {
		y := newYard(t)
		y.run("run", "dip", "--no-confirm").ended(experiments.ExitPassed, "✓ passed", "PASSED: 1 passed")
		y.reported(y.trial())
	})
	t.Run("failed", func(t *testing.T) {
		y := newYard(t, "env: {", "env: {MODE: fragile, ")
		y.run("run", "dip").ended(experiments.ExitFailed, "✗ failed", "promised: at least 90 % good answers")
		y.reported(y.trial())
	})
	t.Run("inconclusive", func(t *testing.T) {
		y := newYard(t)
		y.file("experiments/still.yaml", `version: 1
name: still
title: Nobody asks
processor: low
load: {rate: -1}
steady_state: {for: 10ms}
method:
  - {name: gone, for: 100ms, on: http, fault: outage}
recovery: 100ms
settle: 50ms
expect:
  - success: {ratio: 0.9, during: fault}
`)
		y.run("run", "still", "--no-confirm").ended(experiments.ExitInconclusive, "? inconclusive")
		y.reported(y.trial())
	})
}
