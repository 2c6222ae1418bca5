package wiretap

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"regexp"
	"slices"
	"sync"

	"github.com/seatrial/seatrial/faults"
)

// rule is an interference in force.
type rule struct {
	faults.Interference
	id      string
	pattern *regexp.Regexp
	cleared chan struct{} // closed when it is taken back

	mu    sync.Mutex
	draws *rand.Rand
	used  map[uint64]int // by the hash of the parameter that is counted by
}

// seed hides the parameters that are counted by: only hashes are kept.
var seed = maphash.MakeSeed()

// maxMinds bounds how many parameters a rule tells apart; further ones are not
// shaped.
const maxMinds = 1 << 20

func newRule(id string, i faults.Interference) (*rule, error) {
	if err := i.Check(); err != nil {
		return nil, err
	}
	kinds := 0
	for _, set := range []bool{i.SQLState != "", i.CutRows > 0, i.CutCommit, i.Hold > 0} {
		if set {
			kinds++
		}
	}
	switch {
	case !slices.Contains([]string{"", faults.AtStatement, faults.AtCommit, faults.AtConnect}, i.At):
		return nil, fmt.Errorf("at %q is not statement, commit or connect", i.At)
	case i.At == faults.AtConnect && i.SQLState == "":
		return nil, fmt.Errorf("at %s there is only an SQLSTATE to answer with", i.At)
	case kinds != 1:
		return nil, fmt.Errorf("an interference does one thing, not %d", kinds)
	case i.CutRows < 0 || i.Hold < 0:
		return nil, fmt.Errorf("cut_rows or hold is negative")
	case i.SQLState != "" && len(i.SQLState) != 5:
		return nil, fmt.Errorf("sqlstate %q has not five letters", i.SQLState)
	}
	pattern, err := i.Pattern()
	if err != nil {
		return nil, err
	}
	return &rule{
		Interference: i, id: id, pattern: pattern, cleared: make(chan struct{}),
		draws: rand.New(rand.NewPCG(i.Seed, 0x5ea741a1)), //nolint:gosec // draws come from the plan's seed
		used:  map[uint64]int{},
	}, nil
}

// suits reports whether the rule is about a statement, and what it is counted
// by.
func (r *rule) suits(s *statement) (key uint64, ok bool) {
	if r.At == faults.AtConnect || r.InTransaction && s.tx != 'T' || !r.pattern.MatchString(s.text) {
		return 0, false
	}
	if r.PerParameter == 0 {
		return 0, true
	}
	if r.PerParameter > len(s.parameters) {
		return 0, false
	}
	return maphash.Bytes(seed, s.parameters[r.PerParameter-1]), true
}

// draw says whether the next one is shaped.
func (r *rule) draw() bool {
	if r.Ratio <= 0 || r.Ratio >= 1 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.draws.Float64() < r.Ratio
}

// spend counts one that is shaped; false means that there were enough, or that
// the rule has been taken back.
func (r *rule) spend(key uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.cleared:
		return false
	default:
	}
	if r.FirstN == 0 {
		return true
	}
	if _, known := r.used[key]; !known && len(r.used) >= maxMinds {
		return false
	}
	if r.used[key] >= r.FirstN {
		return false
	}
	r.used[key]++
	return true
}
