package detect

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Linearizability asks whether a register behaves like one: whoever reads it
// gets what was written last, at whichever replica. More exactly, each request
// can be given an instant between its sending and its answer such that every
// read returns what the last write before it wrote. A write whose outcome is
// not known may have taken effect at any time after it was sent, or never. It
// is judged by porcupine, for each register on its own.
//
// Of a register that cannot be explained the finding names the first read that
// is at fault, the write whose value it returned and the one that it missed.
//
// It needs a registers step.
type Linearizability struct {
	// MinReads is how many reads must have returned what a request had written.
	// Default 100.
	MinReads int `yaml:"min_reads" json:"min_reads,omitempty"`
	// MinWrites is how many writes must have been acknowledged. Default 30.
	MinWrites int `yaml:"min_writes" json:"min_writes,omitempty"`
	// Within is how long the judging may take, all registers together: the
	// problem is NP-complete. Default 10s; what is not judged by then is unknown.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
}

var _ = register(Info{
	Kind: "linearizability", Checklist: []string{"1.5"}, Class: Safety,
	Summary: "whoever reads gets what was written last, at whichever replica",
}, func() Detector { return &Linearizability{MinReads: 100, MinWrites: 30, Within: 10 * time.Second} })

// Detect judges the journal.
func (d *Linearizability) Detect(j journal.Journal) Finding {
	c := &registerCase{docket: open("linearizability"), run: j.Header().Run, across: len(j.Header().Replicas) > 1}
	histories := registerHistories(j)
	if len(histories) == 0 {
		return c.unknown("no register was written and read; the experiment needs the operation registers, and the traffic " +
			"a register")
	}
	if n := valueless(histories); n > 0 {
		return c.unknown("%d reads were answered with success, and none of all returned a value; does the JSONPath "+
			"(traffic.register.read.value) fit the answers?", n)
	}
	over := time.Now().Add(orDefault(d.Within, 10*time.Second))
	for _, h := range histories {
		c.register(h, over)
	}
	c.quantities(len(histories))
	c.enough(max(1, d.MinReads), max(1, d.MinWrites))
	return c.close("promised: whoever reads gets what was written last; seen: %d registers, %d reads and %d writes, of "+
		"which %d are in doubt, and an order of all of them that explains what every read returned", len(histories),
		c.reads, c.writes+c.unknownWrites, c.unknownWrites)
}

// registerOp is one request for a register.
type registerOp struct {
	journal.Entry
	journal.RegisterOp
}

// open says that the request may still take effect: nobody knows its outcome.
func (o registerOp) open() bool { return o.Outcome != journal.Acknowledged }

// history is all that was asked of one register.
type history struct {
	key string
	// ops are those that say something, in the order of their answers: writes,
	// and reads that were answered. A write whose outcome is not known and whose
	// value nobody read is left out: it may have come last.
	ops        []registerOp
	unanswered int                   // reads
	unread     int                   // writes that are left out
	wrote      map[string]registerOp // by the digest of the value
	twice      bool                  // a value was written twice, so that a read does not tell whose it is
}

func registerHistories(j journal.Journal) []*history {
	byKey := map[string]*history{}
	var all []*history
	for e, op := range journal.Of[journal.RegisterOp](j) {
		h := byKey[op.Key]
		if h == nil {
			h = &history{key: op.Key, wrote: map[string]registerOp{}}
			byKey[op.Key] = h
			all = append(all, h)
		}
		h.ops = append(h.ops, registerOp{e, op})
	}
	for _, h := range all {
		h.prepare()
	}
	return all
}

// valueless counts the reads that were answered with success and without a value;
// zero where any read returned one, so that its JSONPath fits the answers.
func valueless(all []*history) (n int) {
	for _, h := range all {
		for _, op := range h.ops {
			switch {
			case op.Write:
			case op.Value != "":
				return 0
			default:
				n += one(op.Code/100 == 2)
			}
		}
	}
	return n
}

// prepare leaves out what says nothing.
func (h *history) prepare() {
	read := map[string]bool{}
	for _, op := range h.ops {
		switch {
		case op.Write:
			_, known := h.wrote[op.Value]
			h.twice = h.twice || known
			h.wrote[op.Value] = op
		case !op.open():
			read[op.Value] = true
		}
	}
	h.ops = slices.DeleteFunc(h.ops, func(op registerOp) bool {
		if op.Write && op.open() && !read[op.Value] {
			h.unread++
			return true
		}
		h.unanswered += one(!op.Write && op.open())
		return !op.Write && op.open()
	})
	slices.SortStableFunc(h.ops, func(a, b registerOp) int { return cmp.Compare(a.At, b.At) })
}

// registerState is what a register holds. The zero value is what it held before
// the first request, which is not known.
type registerState struct {
	known bool
	value string
}

// explained asks whether there is an order that explains all that was answered
// up to an instant.
func (h *history) explained(until journal.Instant, over time.Time) porcupine.CheckResult {
	left := time.Until(over)
	if left <= 0 {
		return porcupine.Unknown // a timeout of zero would be none
	}
	var ops []porcupine.Operation
	for _, op := range h.ops {
		ended := int64(op.At)
		if op.At > until || op.open() {
			ended = math.MaxInt64
		}
		if op.Sent > until || op.At > until && !op.Write {
			continue
		}
		ops = append(ops, porcupine.Operation{ClientId: op.Caller, Input: op, Call: int64(op.Sent), Return: ended})
	}
	return porcupine.CheckOperationsTimeout(porcupine.Model{
		Init: func() any { return registerState{} },
		Step: func(state, input, _ any) (bool, any) { return h.step(state.(registerState), input.(registerOp)) },
	}, ops, left)
}

// step is what a register does. Before the first write it may hold anything but
// what is written later.
func (h *history) step(s registerState, op registerOp) (bool, registerState) {
	value := op.Value
	if op.Write {
		return true, registerState{true, value}
	}
	if s.known {
		return s.value == value, s
	}
	_, later := h.wrote[value]
	return !later, registerState{true, value}
}

// firstAtFault is the first read whose answer leaves no order that explains it.
// That a write is answered never does: it could have come last.
func (h *history) firstAtFault(over time.Time) (registerOp, bool) {
	var reads []registerOp
	for _, op := range h.ops {
		if !op.Write {
			reads = append(reads, op)
		}
	}
	at, _ := slices.BinarySearchFunc(reads, true, func(op registerOp, _ bool) int {
		if h.explained(op.At, over) == porcupine.Illegal {
			return 1
		}
		return -1
	})
	if at == len(reads) || h.explained(reads[at].At, over) != porcupine.Illegal {
		return registerOp{}, false
	}
	return reads[at], true
}

// registerCase collects what the registers have to say.
type registerCase struct {
	*docket
	run                      string
	across                   bool // there is more than one replica
	illegal                  int  // registers
	reads, found, unanswered int  // found: what a request had written
	writes, unknownWrites    int
	readAcross               int // reads of what was written at another replica
	stale                    int
	staleFor                 time.Duration
}

// register judges one register.
func (c *registerCase) register(h *history, over time.Time) {
	if h.twice {
		c.doubt("a value was written to register %s twice; give each write one of its own (traffic.register.value: {{uuid}})",
			h.key)
		return
	}
	c.count(h)
	switch h.explained(math.MaxInt64, over) {
	case porcupine.Ok:
		return
	case porcupine.Unknown:
		c.doubt("the %d requests for register %s could not be judged in time; give the detector more (within), or the "+
			"operation a shorter time", len(h.ops), h.key)
		return
	}
	c.illegal++
	read, found := h.firstAtFault(over)
	if !found {
		c.against("promised: whoever reads register %s gets what was written last; no order of its %d requests explains "+
			"what was read", h.key, len(h.ops))
		return
	}
	c.blame(h, read)
}

// count tells the requests apart, and the reads that are stale beyond doubt.
func (c *registerCase) count(h *history) {
	c.unanswered += h.unanswered
	c.unknownWrites += h.unread
	for _, op := range h.ops {
		switch {
		case op.Write && op.open():
			c.unknownWrites++
		case op.Write:
			c.writes++
		default:
			c.reads++
			writer, known := h.wrote[op.Value]
			c.found += one(known)
			c.readAcross += one(known && writer.Replica != op.Replica)
			if missed, stale := h.missed(op); stale {
				c.stale++
				c.staleFor = max(c.staleFor, op.Sent.Sub(missed.At))
			}
		}
	}
}

// missed is the first write that lay wholly between the write whose value was
// read and the read.
func (h *history) missed(read registerOp) (registerOp, bool) {
	writer, known := h.wrote[read.Value]
	if known && writer.open() {
		return registerOp{}, false // it may have come after any other
	}
	for _, op := range h.ops {
		if op.Write && !op.open() && op.At < read.Sent && (!known || op.Sent > writer.At) {
			return op, true
		}
	}
	return registerOp{}, false
}

// blame says what is wrong with a read.
func (c *registerCase) blame(h *history, read registerOp) {
	what := "a value that no request wrote"
	writer, known := h.wrote[read.Value]
	switch {
	case known:
		what = "what " + c.id(writer) + " had written"
		c.show(writer, "wrote what was read later")
	case read.Value == "":
		what = "nothing"
	}
	why := "and no order of the requests explains it"
	if missed, stale := h.missed(read); stale {
		why = fmt.Sprintf("though %s had written another and was answered %v before; read from where it is written, or "+
			"invalidate every copy before the write is answered", c.id(missed), brief(read.Sent.Sub(missed.At)))
		c.show(missed, "wrote another and was answered")
	}
	c.show(read, "got %s", what)
	if c.illegal > 1 {
		c.against("likewise register %s", h.key)
		return
	}
	c.against("promised: whoever reads gets what was written last; %s at %s read register %s and got %s, %s", c.id(read),
		read.Replica, h.key, what, why)
}

func (c *registerCase) id(op registerOp) string { return journal.RequestID(c.run, op.Attack, op.Seq) }

func (c *registerCase) show(op registerOp, format string, args ...any) {
	c.point(Evidence{
		At: op.At, Kind: op.Body.Kind(), On: c.id(op),
		Excerpt: fmt.Sprintf("register %s at %s, sent at %v: ", op.Key, op.Replica, brief(op.Sent.Duration())) +
			say(format, args...),
	})
}

func (c *registerCase) quantities(registers int) {
	c.add(
		bounded("registers_not_explained", float64(c.illegal), "1", "<=", 0, registers),
		bounded("reads_stale", float64(c.stale), "1", "<=", 0, c.reads),
		measured("stale_for_max", c.staleFor.Seconds(), "s", c.stale),
		measured("reads_answered", float64(c.reads), "1", c.reads+c.unanswered),
		measured("reads_across_replicas", float64(c.readAcross), "1", c.reads),
		measured("writes_acknowledged", float64(c.writes), "1", c.writes+c.unknownWrites),
		measured("writes_unknown", float64(c.unknownWrites), "1", c.writes+c.unknownWrites),
	)
}

// leastAcross is how many reads must have returned what was written at another
// replica, so that a copy in a replica would have shown (chosen).
const leastAcross = 20

// enough says what is missing for a finding that holds.
func (c *registerCase) enough(reads, writes int) {
	switch {
	case c.found == 0 && c.reads > 0:
		c.doubt("none of %d reads returned what a request had written; does its JSONPath (traffic.register.read.value) fit "+
			"the answers?", c.reads)
	case c.found < reads:
		c.doubt("only %d reads returned what a request had written, and %d are needed", c.found, reads)
	}
	if c.writes < writes {
		c.doubt("only %d writes were acknowledged, and %d are needed", c.writes, writes)
	}
	if c.across && c.readAcross < leastAcross {
		c.doubt("only %d reads returned what was written at another replica, and %d are needed", c.readAcross, leastAcross)
	}
}
