package main

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/seatrial/seatrial/experiments"
)

// Of two trials at once the second says whom it waits for, and begins when the
// first has ended.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	first := y.start("run", "dip")
	first.until("preparing: building")
	second := y.start("run", "dip")
	waits := "preparing: waits for another trial"
	if _, err := os.Stat("/proc/locks"); err == nil {
		waits += fmt.Sprintf(" (pid %d)", first.cmd.Process.Pid)
	}
	second.until(waits)
	first.until("dip/prices: steady")
	first.signal(syscall.SIGINT)
	first.wait()
	second.until("dip/prices: steady")
	second.signal(syscall.SIGINT)
	second.ended(experiments.ExitAborted)
}
