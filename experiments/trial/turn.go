package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/experiments/environment"
)

// turnPlace is locked (flock) by the process whose trial goes on: the folder for
// temporary files itself, so that no file is left there, and users who share
// the folder share the turn.
func turnPlace() string { return os.TempDir() }

// turnPause is how often one who waits looks whether it is its turn.
const turnPause = 100 * time.Millisecond

// turn is what one process at a time has, while a trial of it goes on: two
// would take each other's processor, and neither could be judged. Trials of the
// same process share it; package suites has them take turns.
type turn struct {
	mu      sync.Mutex
	lock    *flock.Flock // nil while holders is zero
	holders int
}

// ours is this process's.
var ours turn

// errStartBy says that a turn came too late.
var errStartBy = errors.New("waiting longer would leave too little time before the deadline")

// await takes the turn, when there is one to be had by an instant (zero: at any
// time). It says whom it waits for.
func (t *turn) await(ctx context.Context, startBy time.Time, say environment.Progress) error {
	if !startBy.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, startBy, errStartBy)
		defer cancel()
	}
	tick := time.NewTicker(turnPause)
	defer tick.Stop()
	for said := ""; ; {
		place := turnPlace()
		taken, err := t.take(place)
		if taken || err != nil {
			return err
		}
		if other := holder(place); other != said {
			say.Say("waits for another trial" + other)
			said = other
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for another trial%s, which has this machine: %w", holder(place), context.Cause(ctx))
		}
	}
}

// take takes the turn when nobody else has it.
func (t *turn) take(place string) (taken bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.holders > 0 {
		t.holders++
		return true, nil
	}
	lock := flock.New(place, flock.SetFlag(os.O_RDONLY))
	taken, err = lock.TryLock()
	if err != nil || !taken {
		return false, wrapped("ask for this machine's turn in "+place+", the folder for temporary files (TMPDIR)", err)
	}
	t.lock, t.holders = lock, 1
	return true, nil
}

func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// give gives the turn back; the last holder's counts.
func (t *turn) give() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.holders--; t.holders > 0 {
		return nil
	}
	lock := t.lock
	t.lock = nil
	return wrapped("give this machine's turn back", lock.Unlock())
}

// holder names the process that has the turn: " (pid 4711)"; empty when that
// cannot be told, as on other systems than Linux.
func holder(place string) string {
	var st unix.Stat_t
	locks, err := os.ReadFile("/proc/locks")
	if err != nil || unix.Stat(place, &st) != nil {
		return ""
	}
	dev := uint64(st.Dev) // an int32 on macOS
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(dev), unix.Minor(dev), st.Ino)
	for line := range strings.Lines(string(locks)) {
		// 3: FLOCK  ADVISORY  WRITE 4711 fe:00:10361668 0 EOF
		if f := strings.Fields(line); len(f) > 5 && f[1] == "FLOCK" && f[5] == file {
			return " (pid " + f[4] + ")"
		}
	}
	return ""
}
