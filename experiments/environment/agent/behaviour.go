package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"

	"github.com/seatrial/seatrial/faults"
)

// DecodeBehaviour reads one behaviour as the control API takes it. Unknown
// fields, ratios outside 0 to 1 and negative durations or counts are errors.
func DecodeBehaviour(r io.Reader) (faults.Behaviour, error) {
	data, err := io.ReadAll(io.LimitReader(r, 1<<16))
	if err != nil {
		return faults.Behaviour{}, fmt.Errorf("read behaviour: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var b faults.Behaviour
	if err := dec.Decode(&b); err != nil {
		return faults.Behaviour{}, fmt.Errorf("read behaviour: %w", err)
	}
	if err := checkBehaviour(b); err != nil {
		return faults.Behaviour{}, fmt.Errorf("read behaviour: %w", err)
	}
	return b, nil
}

func checkBehaviour(b faults.Behaviour) error {
	switch {
	case !(b.Ratio >= 0 && b.Ratio <= 1): // not-a-number is refused too
		return fmt.Errorf("ratio %v is not between 0 and 1", b.Ratio)
	case b.FirstN < 0:
		return fmt.Errorf("first_n %d is negative", b.FirstN)
	case b.Status != 0 && (b.Status < 200 || b.Status > 999):
		return fmt.Errorf("status %d is not between 200 and 999", b.Status)
	case b.RetryAfter < 0, b.Delay < 0, b.StallEvery < 0:
		return fmt.Errorf("a duration is negative")
	case b.StallAfter > maxStallBytes:
		return fmt.Errorf("stall_after %d is more than %d bytes", b.StallAfter, maxStallBytes)
	}
	return nil
}

// maxStallBytes bounds what a stalled answer sends before it stalls.
const maxStallBytes = 1 << 20

// active is one behaviour in force.
type active struct {
	faults.Behaviour
	id      string
	cleared chan struct{} // closed when it is taken back
	draws   *rand.Rand
	used    int
}

// behaviours are those in force at one stub, in the order in which they were
// set. The first that applies to a call shapes it.
type behaviours struct {
	mu   sync.Mutex
	list []*active
}

// set puts a behaviour in force; one of the same id is taken back first.
func (bs *behaviours) set(id string, b faults.Behaviour) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	bs.remove(id)
	bs.list = append(bs.list, &active{
		Behaviour: b, id: id, cleared: make(chan struct{}),
		draws: rand.New(rand.NewPCG(b.Seed, 0x5ea741a1)), //nolint:gosec // draws come from the plan's seed
	})
}

// clear takes a behaviour back: calls that it holds are let go.
func (bs *behaviours) clear(id string) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	bs.remove(id)
}

func (bs *behaviours) remove(id string) {
	for i, a := range bs.list {
		if a.id == id {
			close(a.cleared)
			bs.list = append(bs.list[:i:i], bs.list[i+1:]...)
			return
		}
	}
}

// pick says what shapes the next call to a route; nil when nothing does.
func (bs *behaviours) pick(route string) *active {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	for _, a := range bs.list {
		if a.Route != "" && a.Route != route || a.FirstN > 0 && a.used >= a.FirstN {
			continue
		}
		if a.Ratio > 0 && a.Ratio < 1 && a.draws.Float64() >= a.Ratio {
			continue
		}
		a.used++
		return a
	}
	return nil
}

// handleBehaviour is PUT and DELETE /stubs/{stub}/behaviours/{id}.
func (s *server) handleBehaviour(w http.ResponseWriter, r *http.Request) {
	st, ok := s.stubs[r.PathValue("stub")]
	if !ok {
		refuse(w, http.StatusNotFound, fmt.Errorf("no stub is called %q", r.PathValue("stub")))
		return
	}
	if r.Method == http.MethodDelete {
		st.behaviours.clear(r.PathValue("id"))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	b, err := DecodeBehaviour(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if b.Route != "" && !st.routes[b.Route] {
		refuse(w, http.StatusBadRequest, fmt.Errorf("stub %q has no route %q", st.name, b.Route))
		return
	}
	st.behaviours.set(r.PathValue("id"), b)
	w.WriteHeader(http.StatusNoContent)
}
