package trial

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/trial/trialtest"
)

// elsewhere has the turn as another process would, in a folder for temporary
// files of the test's own.
func elsewhere(t *testing.T) *flock.Flock {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	other := flock.New(turnPlace(), flock.SetFlag(os.O_RDONLY))
	if ok, err := other.TryLock(); !ok || err != nil {
		t.Fatalf("TryLock = %v, %v", ok, err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return other
}

// mine is how this process is named where /proc/locks tells.
func mine() string {
	if _, err := os.Stat("/proc/locks"); err != nil {
		return ""
	}
	return " (pid " + strconv.Itoa(os.Getpid()) + ")"
}

func TestATrialWaitsForAnother(t *testing.T) {
	other := elsewhere(t)
	f := trialtest.New(t)
	var said []string
	got := try(t, t.Context(), f, testPlans(t, trialtest.Subject(), "low", "one"), func(c *Config) {
		c.Alone = true
		c.Say = func(what string) {
			said = append(said, what)
			if f.Starts.Load() > 0 {
				t.Error("an environment was started before its turn")
			}
			if err := other.Unlock(); err != nil {
				t.Error(err)
			}
		}
	})
	expectOutcomes(t, got, map[string]experiments.Outcome{"": judged, "one": judged})
	if len(said) != 1 || said[0] != "waits for another trial"+mine() {
		t.Errorf("said %q", said)
	}
	if ok, err := other.TryLock(); !ok || err != nil {
		t.Errorf("the turn was not given back: %v, %v", ok, err)
	}
}

func TestATrialThatCannotHaveItsTurn(t *testing.T) {
	elsewhere(t)
	for name, c := range map[string]struct {
		startBy time.Duration // from now; zero: none
		want    experiments.Outcome
		says    string
	}{
		"too late":    {50 * time.Millisecond, experiments.Error, "too little time before the deadline"},
		"interrupted": {0, experiments.Aborted, "interrupted while it was prepared"},
	} {
		t.Run(name, func(t *testing.T) {
			f := trialtest.New(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			got := try(t, ctx, f, testPlans(t, trialtest.Subject(), "low", "one"), func(config *Config) {
				config.Alone = true
				if c.startBy > 0 {
					config.StartBy = time.Now().Add(c.startBy)
				} else {
					config.Say = func(string) { cancel() }
				}
			})
			if got.Outcome != c.want || !strings.Contains(got.Error, c.says) || !strings.Contains(got.Error, mine()) {
				t.Errorf("%s: %s; want %s: … %s …", got.Outcome, got.Error, c.want, c.says)
			}
			if f.Starts.Load() > 0 {
				t.Error("an environment was started all the same")
			}
		})
	}
}

func TestTrialsOfOneProcessShareItsTurn(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var ours turn
	for range 2 {
		if err := ours.await(t.Context(), time.Time{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := holder(turnPlace()); got != mine() {
		t.Errorf("the holder is %q, want %q", got, mine())
	}
	var theirs turn
	late := func() error { return theirs.await(t.Context(), time.Now().Add(time.Millisecond), nil) }
	for held := 2; held > 0; held-- {
		if err := late(); !errors.Is(err, errStartBy) {
			t.Errorf("while %d hold it, another had it: %v", held, err)
		}
		if err := ours.give(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(theirs.await(t.Context(), time.Time{}, nil), theirs.give()); err != nil {
		t.Error(err)
	}
}
