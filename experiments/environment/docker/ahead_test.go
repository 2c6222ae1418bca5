package docker

import (
	"context"
	"errors"
	"testing"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
)

// TestSpares hands everything out once, and to nobody who wants something else.
func TestSpares(t *testing.T) {
	made := order{image: "a", cmd: []string{"migrate", "up"}, env: map[string]string{"A": "1", "B": "2"}}
	for name, other := range map[string]order{
		"image": {image: "b", cmd: made.cmd, env: made.env},
		"words": {image: "a", cmd: []string{"migrate up"}, env: made.env},
		"env":   {image: "a", cmd: made.cmd, env: map[string]string{"A": "1"}},
		"files": {image: "a", cmd: made.cmd, env: made.env, files: map[string]string{}},
	} {
		var s spares
		s.keepBox(made, &box{id: "1"})
		if b := s.box(other); b != nil {
			t.Errorf("%s: handed out to another order", name)
		}
	}
	var s spares
	s.keepBox(made, &box{id: "1"})
	s.keepBox(made, &box{id: "2"})
	again := order{image: "a", cmd: []string{"migrate", "up"}, env: map[string]string{"B": "2", "A": "1"}}
	for _, want := range []string{"1", "2", ""} {
		got := ""
		if b := s.box(again); b != nil {
			got = b.id
		}
		if got != want {
			t.Errorf("box %q, want %q", got, want)
		}
	}
}

// TestSpareReplicas frees those that nobody asked for.
func TestSpareReplicas(t *testing.T) {
	var s spares
	if s.unit("tiny-1") != nil || len(s.ends()) != 0 {
		t.Error("the zero value holds something")
	}
	free := errors.New("freed")
	s.keepUnit("tiny-1", &fleet.Unit{})
	s.keepUnit("tiny-2", &fleet.Unit{Free: func(context.Context) error { return free }})
	if s.unit("tiny-1") == nil || s.unit("tiny-1") != nil {
		t.Error("a replica is not handed out just once")
	}
	ends := s.ends()
	if len(ends) != 1 || !errors.Is(ends[0](t.Context()), free) {
		t.Errorf("%d ends, want that of tiny-2", len(ends))
	}
	if s.unit("tiny-2") != nil || len(s.ends()) != 0 {
		t.Error("what is being taken down is handed out")
	}
}
