package detect

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/seatrial/seatrial/experiments/journal"
)

// registerWorld is a simulated service of two replicas and a store behind them.
type registerWorld struct {
	seed    uint64
	callers int
	ops     int           // of each caller
	copies  time.Duration // how long a replica answers from its own copy; zero: it has none
	early   time.Duration // a write is answered, and stored so long afterwards
	lost    float64       // share of requests whose answer is lost
}

// simulated is one request, and when the store is asked.
type simulated struct {
	journal.RegisterOp
	done, effect journal.Instant
	never        bool // it does not reach the store
}

// journal is what would have been recorded.
func (w registerWorld) journal() *journal.Memory {
	draws := rand.New(rand.NewPCG(w.seed, 1))
	var all []simulated
	for caller := range w.callers {
		at := journal.Instant(draws.Int64N(int64(50 * ms)))
		for range w.ops {
			all = append(all, w.request(draws, caller, len(all), at))
			at = all[len(all)-1].done.Add(time.Duration(draws.Int64N(int64(100 * ms))))
		}
	}
	w.carryOut(all)
	m := fixture(func(h *journal.Header) { h.Replicas = []string{"orders-1", "orders-2"} })
	slices.SortFunc(all, func(a, b simulated) int { return cmp.Compare(a.done, b.done) })
	for _, op := range all {
		m.Record(journal.Entry{At: op.done, On: "registers", Body: op.RegisterOp})
	}
	return m
}

func (w registerWorld) request(draws *rand.Rand, caller, seq int, at journal.Instant) simulated {
	took := time.Duration(draws.Int64N(int64(20*ms))) + ms
	op := simulated{RegisterOp: journal.RegisterOp{
		Attack: "registers", Seq: uint64(seq), Key: fmt.Sprintf("note-%d", draws.IntN(3)), Caller: caller,
		Replica: fmt.Sprintf("orders-%d", 1+draws.IntN(2)), Write: draws.Float64() < 0.3, Sent: at,
		Outcome: journal.Acknowledged, Code: 200,
	}, done: at.Add(took), effect: at.Add(time.Duration(draws.Int64N(int64(took))))}
	if op.Write {
		op.Value = fmt.Sprint("value-", seq)
	}
	if draws.Float64() < w.lost {
		op.Outcome, op.Code, op.Err = journal.UnknownOutcome, 0, journal.ErrTimeout
		op.effect, op.never = at.Add(time.Duration(draws.Int64N(int64(time.Second)))), draws.Float64() < 0.5
	} else if op.Write {
		op.effect = op.effect.Add(w.early)
	}
	return op
}

// carryOut asks the store, and copies, in the order of the effects.
func (w registerWorld) carryOut(all []simulated) {
	type stored struct {
		value string
		at    journal.Instant
	}
	store, copies := map[string]string{}, map[string]stored{}
	order := make([]*simulated, len(all))
	for i := range all {
		order[i] = &all[i]
	}
	slices.SortFunc(order, func(a, b *simulated) int { return cmp.Compare(a.effect, b.effect) })
	for _, op := range order {
		place := op.Replica + op.Key
		held, known := copies[place]
		switch {
		case op.never:
		case op.Write:
			store[op.Key] = op.Value
			delete(copies, place)
		case known && op.effect.Sub(held.at) < w.copies:
			op.Value = held.value
		default:
			op.Value = store[op.Key]
			copies[place] = stored{op.Value, op.effect}
		}
		if op.Outcome != journal.Acknowledged && !op.Write {
			op.Value = ""
		}
	}
}

// goodRegisters are the requests of six callers to a service as it should be.
func goodRegisters(seed uint64) registerWorld {
	return registerWorld{seed: seed, callers: 6, ops: 60, lost: 0.05}
}

func with(w registerWorld, edit func(*registerWorld)) registerWorld {
	edit(&w)
	return w
}

var (
	_ = madeUpAs("linearizability/held-explained", func() journal.Journal { return goodRegisters(1).journal() })
	_ = madeUpAs("linearizability/violated-stale", func() journal.Journal {
		return with(goodRegisters(1), func(w *registerWorld) { w.copies = time.Second }).journal()
	})
	_ = madeUpAs("linearizability/unknown-few", func() journal.Journal {
		return with(goodRegisters(1), func(w *registerWorld) { w.ops = 10 }).journal()
	})
)

func TestLinearizability(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*registerWorld)
		want Outcome
		says []string
	}{
		{"one store", func(*registerWorld) {}, Held, []string{"3 registers"}},
		{"no answer is lost", func(w *registerWorld) { w.lost = 0 }, Held, []string{"0 are in doubt"}},
		{"a third of the answers is lost", func(w *registerWorld) { w.lost = 0.33 }, Held, nil},
		{
			"copies in the replicas", func(w *registerWorld) { w.copies = time.Second }, Violated,
			[]string{"and got what r1-registers-", "had written another and was answered", "invalidate every copy"},
		},
		{
			"copies for a moment", func(w *registerWorld) { w.copies, w.ops = 30*ms, 300 }, Violated, nil,
		},
		{"stored after the answer", func(w *registerWorld) { w.early = 50 * ms }, Violated, nil},
		{"few requests", func(w *registerWorld) { w.ops = 10 }, Unknown, []string{"100 are needed", "30 are needed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := (&Linearizability{}).Detect(with(goodRegisters(2), tt.edit).journal())
			if tt.want == Unknown {
				f = (&Linearizability{MinReads: 100, MinWrites: 30}).Detect(with(goodRegisters(2), tt.edit).journal())
			}
			expect(t, f, tt.want, tt.says...)
			if len(f.Reason) > 700 {
				t.Errorf("reason is %d characters long", len(f.Reason))
			}
		})
	}
}

// TestLinearizabilityErrors counts wrong findings over many simulated services.
func TestLinearizabilityErrors(t *testing.T) {
	for seed := range uint64(50) {
		if f := (&Linearizability{}).Detect(goodRegisters(seed).journal()); f.Outcome != Held {
			t.Errorf("seed %d: a register is %s: %s", seed, f.Outcome, f.Reason)
		}
		stale := with(goodRegisters(seed), func(w *registerWorld) { w.copies = 200 * ms })
		if f := (&Linearizability{}).Detect(stale.journal()); f.Outcome != Violated || len(f.Evidence) < 2 {
			t.Errorf("seed %d: copies of 200 ms are %s: %s", seed, f.Outcome, f.Reason)
		}
	}
}

// askedOfOne is a journal of requests for one register.
func askedOfOne(ops ...journal.RegisterOp) *journal.Memory {
	m := fixture()
	for i, op := range ops {
		op.Attack, op.Seq, op.Key, op.Replica = "registers", uint64(i), "k", "orders-1"
		op.Outcome = cmp.Or(op.Outcome, journal.Acknowledged)
		m.Record(journal.Entry{At: op.Sent + 10, On: "registers", Body: op})
	}
	return m
}

func wrote(at journal.Instant, value string) journal.RegisterOp {
	return journal.RegisterOp{Sent: at, Write: true, Value: value}
}

func read(at journal.Instant, value string) journal.RegisterOp {
	return journal.RegisterOp{Sent: at, Value: value}
}

func answered200(op journal.RegisterOp) journal.RegisterOp {
	op.Code = 200
	return op
}

func lost(op journal.RegisterOp) journal.RegisterOp {
	op.Outcome = journal.UnknownOutcome
	return op
}

// TestLinearizabilityCases are small histories, each request taking 10.
func TestLinearizabilityCases(t *testing.T) {
	for _, tt := range []struct {
		name string
		ops  []journal.RegisterOp
		want Outcome
		says []string
	}{
		{"what was there before", []journal.RegisterOp{read(0, "old"), wrote(20, "a"), read(40, "a")}, Held, nil},
		{"nothing at first", []journal.RegisterOp{read(0, ""), wrote(20, "a"), read(40, "a")}, Held, nil},
		{
			"what was there before, again",
			[]journal.RegisterOp{wrote(0, "a"), read(20, "old")},
			Violated,
			[]string{"r1-registers-1 at orders-1 read register k and got a value that no request wrote, though r1-registers-0"},
		},
		{"gone", []journal.RegisterOp{wrote(0, "a"), read(20, "")}, Violated, []string{"got nothing"}},
		{"at the same time", []journal.RegisterOp{wrote(0, "a"), wrote(20, "b"), read(25, "a"), read(40, "b")}, Held, nil},
		{
			"back and forth",
			[]journal.RegisterOp{wrote(0, "a"), wrote(20, "b"), read(20, "b"), read(31, "a")},
			Violated,
			[]string{"r1-registers-3"},
		},
		{
			"two readers disagree",
			[]journal.RegisterOp{wrote(0, "a"), lost(wrote(20, "b")), read(40, "b"), read(60, "a")},
			Violated,
			[]string{"no order of the requests explains it"},
		},
		{
			"lost, and late",
			[]journal.RegisterOp{lost(wrote(0, "a")), wrote(20, "b"), read(40, "b"), read(60, "a")},
			Held, nil,
		},
		{"before it was written", []journal.RegisterOp{read(0, "a"), wrote(20, "a")}, Violated, nil},
		{"the same twice", []journal.RegisterOp{wrote(0, "a"), wrote(20, "a"), read(40, "a")}, Unknown, []string{"twice"}},
		{"reads not answered", []journal.RegisterOp{wrote(0, "a"), lost(read(20, ""))}, Unknown, []string{"only 0 reads"}},
		{
			"a value that does not fit",
			[]journal.RegisterOp{wrote(0, "a"), answered200(read(20, "")), answered200(read(40, ""))},
			Unknown,
			[]string{"2 reads were answered with success, and none of all returned a value"},
		},
		{
			"a value that fits once",
			[]journal.RegisterOp{wrote(0, "a"), answered200(read(20, "a")), answered200(read(40, ""))},
			Violated,
			[]string{"got nothing"},
		},
		{"nothing ever", []journal.RegisterOp{read(0, ""), read(20, "")}, Unknown, []string{"JSONPath", "only 0 writes"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, (&Linearizability{}).Detect(askedOfOne(tt.ops...)), tt.want, tt.says...)
		})
	}
}

// Reads of what was there before, however many, show nothing.
func TestLinearizabilityNeedsReadsOfWrites(t *testing.T) {
	var ops []journal.RegisterOp
	for i := range 200 {
		ops = append(ops, read(journal.Instant(20*i), "old"))
	}
	for i := range 40 {
		ops = append(ops, wrote(journal.Instant(4000+20*i), fmt.Sprint(i)))
	}
	ops = append(ops, read(5000, "39"))
	f := (&Linearizability{MinReads: 100, MinWrites: 30}).Detect(askedOfOne(ops...))
	expect(t, f, Unknown, "only 1 read returned")
}

func TestLinearizabilityNeedsRegisters(t *testing.T) {
	expect(t, (&Linearizability{}).Detect(fixture()), Unknown, "needs the operation registers")
}

// TestLinearizabilityRunsOutOfTime has no time left before it begins.
func TestLinearizabilityRunsOutOfTime(t *testing.T) {
	f := (&Linearizability{Within: 1}).Detect(goodRegisters(1).journal())
	expect(t, f, Unknown, "could not be judged in time")
}

// FuzzLinearizability holds the judgement of small histories to a search of
// all orders.
func FuzzLinearizability(f *testing.F) {
	f.Add([]byte{0, 0, 4, 1, 5, 3, 2, 3, 3, 0, 9, 9})
	f.Add([]byte{4, 1, 2, 0, 3, 2, 8, 1, 7, 0, 6, 6, 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		var ops []journal.RegisterOp
		var ends []journal.Instant
		for i := 0; i+2 < len(data) && len(ops) < 7; i += 3 {
			op := read(journal.Instant(data[i+1]%16), "")
			switch kind := data[i] % 8; {
			case kind < 2:
				op = lost(wrote(op.Sent, fmt.Sprint(i)))
			case kind < 4:
				op = wrote(op.Sent, fmt.Sprint(i))
			case kind < 7:
				op.Value = fmt.Sprint(int(data[i+2]>>4) % 7 * 3)
			}
			ops = append(ops, op)
			ends = append(ends, op.Sent+1+journal.Instant(data[i+2]%8))
		}
		m := journal.NewMemory(journal.Header{})
		for i, op := range ops {
			op.Outcome = cmp.Or(op.Outcome, journal.Acknowledged)
			ops[i] = op
			m.Record(journal.Entry{At: ends[i], Body: op})
		}
		for _, h := range registerHistories(m) {
			want := porcupine.Illegal
			if searched(ops, ends, make([]bool, len(ops)), registerState{}) {
				want = porcupine.Ok
			}
			if got := h.explained(1<<62, time.Now().Add(time.Minute)); got != want {
				t.Errorf("%s, and a search of all orders says %s: %+v until %v", got, want, ops, ends)
			}
		}
	})
}

// searched tries every order that real time allows.
func searched(ops []journal.RegisterOp, ends []journal.Instant, placed []bool, s registerState) bool {
	left := false
	for i, op := range ops {
		if placed[i] || op.Outcome != journal.Acknowledged && !op.Write {
			continue
		}
		left = left || op.Outcome == journal.Acknowledged
		if !mayBeNext(ops, ends, placed, op) {
			continue
		}
		next, ok := s, true
		switch {
		case op.Write:
			next = registerState{true, op.Value}
		case s.known:
			ok = s.value == op.Value
		default:
			ok = !slices.ContainsFunc(ops, func(w journal.RegisterOp) bool { return w.Write && w.Value == op.Value })
			next = registerState{true, op.Value}
		}
		placed[i] = true
		found := ok && searched(ops, ends, placed, next)
		placed[i] = false
		if found {
			return true
		}
	}
	return !left
}

// mayBeNext says that nothing is left that was answered before op was sent.
func mayBeNext(ops []journal.RegisterOp, ends []journal.Instant, placed []bool, op journal.RegisterOp) bool {
	for i, other := range ops {
		if !placed[i] && other.Outcome == journal.Acknowledged && ends[i] < op.Sent {
			return false
		}
	}
	return true
}
