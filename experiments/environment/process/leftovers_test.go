package process

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/environment/procs"
	"github.com/seatrial/seatrial/experiments/environment/watcher"
	"github.com/seatrial/seatrial/experiments/journal"
)

// victimEnv has the test binary run an environment until it is killed.
const victimEnv = "SEATRIAL_TEST_VICTIM"

// victim brings environments up and down again and again. It prints its
// scratch folder first.
func victim() int {
	ctx := context.Background()
	b := &Backend{}
	if err := b.open(ctx); err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println(b.host.Watcher().Scratch(), b.host.Watcher().PID())
	for {
		e, err := b.Start(ctx, tiny(), journal.NewMemory(journal.Header{}), environment.Options{Trial: "victim"})
		if err != nil {
			fmt.Println("error", err)
			return 1
		}
		fmt.Println("up")
		<-time.After(200 * time.Millisecond)
		if err := e.Stop(ctx); err != nil {
			fmt.Println("error", err)
			return 1
		}
	}
}

// TestNothingIsLeftAfterSIGKILL kills a process that brings environments up and
// down at moments drawn from a seed.
func TestNothingIsLeftAfterSIGKILL(t *testing.T) {
	if _, found, err := postgres.Find(t.Context(), ""); err != nil || !found {
		t.Skip("no PostgreSQL on this machine:", err)
	}
	draws := rand.New(rand.NewPCG(7, 7))
	rounds := 10
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		killAfter(t, round, time.Duration(draws.Int64N(int64(3*time.Second))))
	}
}

func killAfter(t *testing.T, round int, wait time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the victim printed nothing")
	}
	var scratch string
	var pid int
	if _, err := fmt.Sscan(lines.Text(), &scratch, &pid); err != nil {
		t.Fatal(lines.Text(), err)
	}
	said := make(chan string, 1)
	go func() {
		var all []string
		for lines.Scan() {
			all = append(all, lines.Text())
		}
		said <- strings.Join(all, ", ")
	}()
	select {
	case <-time.After(wait):
	case text := <-said:
		t.Fatalf("the victim ended by itself: %s", text)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	text := <-said
	_ = cmd.Wait()
	eventually(t, "the watcher ends", func() bool { return !procs.Alive(pid, 0) })
	if _, err := os.Stat(scratch); !os.IsNotExist(err) {
		t.Errorf("round %d, killed after %v (%s): the folder is still there: %v", round, wait, text, err)
	}
	for _, p := range leftovers(t, scratch) {
		t.Errorf("round %d, killed after %v (%s): process %d is still there: %s", round, wait, text, p, command(p))
	}
	if l, err := ports.AcquireN(20); err != nil {
		t.Errorf("round %d: the ports are still held: %v", round, err)
	} else {
		for _, l := range l {
			l.Release()
		}
	}
}

// leftovers are the processes that carry a scratch folder's mark or work in it.
func leftovers(t *testing.T, scratch string) []int {
	t.Helper()
	all, err := procs.List()
	if err != nil {
		t.Fatal(err)
	}
	var left []int
	for _, p := range all {
		v, _ := procs.Variable(p.PID, watcher.ScratchEnv)
		if !p.Dead() && (v == scratch || strings.HasPrefix(procs.WorkingDir(p.PID), scratch)) {
			left = append(left, p.PID)
		}
	}
	return left
}

func command(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(b), "\x00", " ")
}
