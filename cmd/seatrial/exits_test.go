package main

import (
	"testing"

	"github.com/seatrial/seatrial/experiments"
)

// The exit code is the outcome of what was really tried.
func TestExitCodes(t *testing.T) {
	t.Run("passed", func(t *testing.T) {
		y := clearly(t, func() (*yard, *voyage) {
			y := newYard(t)
			return y, y.run("run", "dip", "--attempts=1")
		}, experiments.ExitPassed, "✓ passed", "PASSED: 1 passed")
		y.reported(y.trial())
	})
	t.Run("failed", func(t *testing.T) {
		y := clearly(t, func() (*yard, *voyage) {
			y := newYard(t, ownEnv, "env: {MODE: fragile, ")
			return y, y.run("run", "dip")
		}, experiments.ExitFailed, "✗ failed", "promised: at least 90 % good answers")
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
		y.run("run", "still", "--attempts=1").ended(experiments.ExitInconclusive, "? inconclusive")
		y.reported(y.trial())
	})
}

// clearly tries again, at most twice, when a busy machine has left a trial
// without a clear outcome.
func clearly(t *testing.T, try func() (*yard, *voyage), code int, texts ...string) *yard {
	t.Helper()
	y, v := try()
	for range 2 {
		if v.wait() != experiments.ExitInconclusive {
			break
		}
		t.Logf("again, because the machine was busy:\n%s", v.out.String())
		y.nothingLeft()
		y, v = try()
	}
	v.ended(code, texts...)
	return y
}
