package loadgen

import (
	"testing"
	"time"
)

func TestAnExtendedPlanGoesOnUntilItIsToldToEnd(t *testing.T) {
	e := Extend(Constant(10, time.Second), 5)
	if e.Hits() != 10 || e.Length() != time.Second {
		t.Errorf("before its end is told it has %d hits in %v", e.Hits(), e.Length())
	}
	for seq, want := range map[uint64]time.Duration{9: 900 * time.Millisecond, 10: time.Second, 15: 2 * time.Second} {
		if due, ok := e.Due(seq); !ok || due != want {
			t.Errorf("hit %d is due at %v, %v; want %v", seq, due, ok, want)
		}
	}
	e.EndAt(2 * time.Second)
	e.EndAt(9 * time.Second) // the first call counts
	if _, ok := e.Due(15); ok || e.Hits() != 15 || e.Length() != 2*time.Second {
		t.Errorf("ended at 2 s it has %d hits in %v, and hit 15: %v", e.Hits(), e.Length(), ok)
	}
	if _, ok := e.Due(14); !ok {
		t.Error("hit 14 is due before the end")
	}
	early := Extend(Constant(10, time.Second), 5)
	early.EndAt(450 * time.Millisecond)
	if early.Hits() != 5 {
		t.Errorf("ended at 0.45 s it has %d hits, want 5", early.Hits())
	}
}

func TestAPlanThatIsExtendedByNothingEnds(t *testing.T) {
	e := Extend(Constant(10, time.Second), 0)
	if due, ok := e.Due(9); !ok || due != 900*time.Millisecond {
		t.Errorf("hit 9 is due at %v, %v", due, ok)
	}
	if _, ok := e.Due(10); ok || e.Hits() != 10 {
		t.Errorf("it has %d hits, and hit 10: %v", e.Hits(), ok)
	}
	e.EndAt(500 * time.Millisecond)
	if _, ok := e.Due(5); ok || e.Hits() != 5 {
		t.Errorf("ended at 0.5 s it has %d hits, and hit 5: %v", e.Hits(), ok)
	}
}
