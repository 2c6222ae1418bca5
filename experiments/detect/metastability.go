package detect

import (
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Metastable is the name of the failure in which a service stays down although
// what brought it down is gone, because the work of its own callers' retries
// keeps it there (Bronson et al., HotOS 2021).
const Metastable = "metastable"

// Metastability asks whether the service comes back when what troubled it is
// gone, though its callers time out and try again (D31).
//
// It needs an attack whose clients try again (attack: {retries: 3}) and a fault,
// the trigger, that was in force during a part of it. A hit counts for the
// instant at which its first try was due, and is good when one of its tries
// was. From the end of the trigger on, windows of 5 s with fewer than 95 % good
// hits are bad.
//
// The failure is metastable when the clients were watched for 60 s from the end
// of the trigger, and one of the windows in the last ten of them was bad. A
// service that comes back later than after 10 s holds with a remark.
//
// What is seen may be enough before: two windows on end without a bad one, a
// sequential test between 1 % and 10 % of bad hits in favour of the first, with
// errors of one in 1000, and in the last window hardly any retry, so that
// nothing is left that could keep the service down.
type Metastability struct {
	// Clients is the step that sends hits with retries. Empty: the one attack
	// that does.
	Clients string `json:"clients,omitempty" yaml:"clients"`
	// Trigger is the fault step whose end is waited for. Empty: the last fault
	// that came into force during the attack.
	Trigger string `json:"trigger,omitempty" yaml:"trigger"`
	// Ratio is the share of good hits, 0 to 1, of a window that is not bad.
	// Default 0.95.
	Ratio float64 `json:"ratio,omitempty" yaml:"ratio"`
	// Within is how soon after the trigger's end the last bad window may end
	// without a remark. Default 10s.
	Within time.Duration `json:"within,omitempty" yaml:"within"`
	// Watch is how long a service must stay down to be called metastable.
	// Default 60s.
	Watch time.Duration `json:"watch,omitempty" yaml:"watch"`
}

var _ = register(Info{
	Kind: "metastability", ID: "D31", Checklist: []string{"3.3", "3.5"}, Class: Rate,
	Summary: "when what troubled it is gone, the service comes back, though its callers try again",
}, func() Detector { return new((&Metastability{}).resolved()) })

func (m *Metastability) resolved() Metastability {
	return Metastability{
		Clients: m.Clients, Trigger: m.Trigger,
		Ratio:  orDefault(m.Ratio, 0.95),
		Within: orDefault(m.Within, 10*time.Second),
		Watch:  orDefault(m.Watch, 60*time.Second),
	}
}

const (
	clientWindow   = 5 * time.Second
	lastLook       = 10 * time.Second // of the watch: bad then is down for good
	windowsOfCalm  = 2
	calmRetries    = 1.1  // tries a hit in the last window of a service that came back
	fewestClients  = 20   // hits before the trigger, and in each window
	goodClientsBad = 0.01 // share of bad hits of a service that came back
	badClientsBad  = 0.10 // and of one that did not
)

// Detect judges the clients' hits.
func (m *Metastability) Detect(j journal.Journal) Finding {
	d := open("metastability")
	p := m.resolved()
	c, err := p.clients(j)
	if err != nil {
		return d.unknown("whether the service comes back is not known: %v", err)
	}
	c.count(j, p.Ratio)
	c.quantities(d, p)
	if why := c.unfit(p); why != "" {
		return d.unknown("%s", why)
	}
	return p.verdict(d, c)
}

// Enough is the finding itself: it is unknown until enough has been seen.
func (m *Metastability) Enough(j journal.Journal, _ string) Finding { return m.Detect(j) }

func (m *Metastability) verdict(d *docket, c *crowd) Finding {
	gone := c.gone
	watched := c.watched()
	down := c.lastBad() // how long after the trigger's end the last bad window ended
	switch {
	case watched >= m.Watch && down > m.Watch-lastLook:
		d.point(c.firstBad)
		d.point(c.lastBadHit)
		d.Failure = Metastable
		return d.violated("metastable failure: the trigger (%s) is gone since %v, and the service stays down: %s of the "+
			"calls came to a good end in the last %v, each sent %.2g times; watched for %v; give work up with its caller, and "+
			"take no more at a time than can be done in time",
			c.trigger.Name, gone, pctSeen(c.ratioOfLast()), lastLook, c.amplificationOfLast(), brief(watched))
	case watched < m.Watch && !c.calm():
		return d.unknown("the clients were watched for %v after the trigger %q was gone at %v, and the last bad window "+
			"ended %v after it: too early to say whether the service stays down, for which %v are needed",
			brief(watched), c.trigger.Name, gone, brief(down), m.Watch)
	}
	if down > m.Within {
		d.note("it came back only %v after the trigger was gone (more than %v)", brief(down), m.Within)
		d.point(c.lastBadHit)
	}
	return d.close("the trigger %q brought the service down to %s good calls; it is gone since %v, and the service came "+
		"back within %v, watched for %v", c.trigger.Name, pctSeen(c.during.ratio()), gone, brief(down), brief(watched))
}

// crowd is what became of the calls of clients that try again.
type crowd struct {
	attack   string
	whole    journal.Window // of the attack; open-ended while it goes on
	patience time.Duration  // of a single try
	trigger  journal.Step
	gone     journal.Instant // the trigger's end

	// upTo is the instant before which every hit due has ended.
	upTo                 journal.Instant
	before, during       calls
	windows              []calls // from the trigger's end on, whole ones
	bad                  []bool  // by window
	test                 shareTest
	dropped, sent        int
	last                 journal.Request // of the bad hits after the trigger's end
	firstBad, lastBadHit Evidence
}

// calls are counted hits.
type calls struct{ n, good, tries int }

func (c *calls) add(r journal.Request) {
	c.n++
	c.good += one(r.OK)
	c.tries += max(r.Tries, 1)
}

func (c calls) ratio() float64 { return ratio(c.good, c.n) }

func (c calls) amplification() float64 { return ratio(c.tries, c.n) }

// clients finds the attack and its trigger.
func (m *Metastability) clients(j journal.Journal) (*crowd, error) {
	c := &crowd{test: shareTest{good: goodClientsBad, bad: badClientsBad}}
	for e, a := range journal.Of[journal.Attack](j) {
		if a.Retries == 0 || m.Clients != "" && e.On != m.Clients {
			continue
		}
		c.attack, c.patience, c.whole = e.On, a.Timeout, journal.Window{From: a.From}
		if !a.Began {
			c.whole.To = a.From.Add(a.For)
		}
	}
	if c.attack == "" {
		return nil, fmt.Errorf("no attack had clients that try again; add attack: {retries: 3}")
	}
	found := false
	for _, s := range j.Steps() {
		named := m.Trigger == s.Name || m.Trigger == "" && s.Class == "fault"
		if named && s.Has[journal.PhaseInForce] && c.whole.Contains(s.InForce) {
			c.trigger, found = s, true
		}
	}
	switch {
	case !found:
		return nil, fmt.Errorf("no fault came into force while %q went on", c.attack)
	case !c.trigger.Has[journal.PhaseReverted]:
		return nil, fmt.Errorf("the trigger %q has not been taken back", c.trigger.Name)
	}
	c.gone = c.trigger.Reverted
	return c, nil
}

// count sorts the hits by when they were due. Hits that are still under way
// would be missing from the latest windows, so that those are left out.
func (c *crowd) count(j journal.Journal, good float64) {
	hits := byNumber(j, c.attack)
	run := j.Header().Run
	for r := range hits {
		c.upTo = r.Due
		if r.Dropped {
			c.dropped++
			continue
		}
		c.sent++
		switch {
		case r.Due.Add(c.patience) <= c.trigger.Begun:
			c.before.add(r)
		case r.Due >= c.trigger.InForce && r.Due < c.trigger.Reverting:
			c.during.add(r)
		case r.Due >= c.gone:
			c.after(r, run)
		}
	}
	if c.whole.To != 0 {
		c.upTo = c.whole.To
	}
	if c.firstBad.Kind != "" {
		c.lastBadHit = requestEvidence(run, c.last)
	}
	if n := int(c.upTo.Sub(c.gone) / clientWindow); n < len(c.windows) {
		c.windows = c.windows[:max(n, 0)]
	}
	for _, w := range c.windows {
		c.bad = append(c.bad, w.ratio() < good)
	}
	calmFrom := c.gone.Add(c.lastBad())
	for r := range hits { // once it is known since when there is no bad window
		if !r.Dropped && r.Due >= calmFrom {
			c.test.count(!r.OK)
		}
		if c.test.sure != "" {
			break
		}
	}
}

func (c *crowd) after(r journal.Request, run string) {
	i := int(r.Due.Sub(c.gone) / clientWindow)
	for len(c.windows) <= i {
		c.windows = append(c.windows, calls{})
	}
	c.windows[i].add(r)
	if !r.OK {
		c.last = r
		first(&c.firstBad, run, r)
	}
}

// unfit says why the hits are no ground to judge on; empty when they are.
func (c *crowd) unfit(m Metastability) string {
	switch {
	case c.before.n < fewestClients:
		return say("only %d calls of %q were over before the trigger %q, too few to say that the service was up",
			c.before.n, c.attack, c.trigger.Name)
	case c.before.ratio() < m.Ratio:
		return fmt.Sprintf("before the trigger %q only %s of the calls of %q were good, so that it did not bring the "+
			"service down; measure the capacity and offer less", c.trigger.Name, pctSeen(c.before.ratio()), c.attack)
	case c.during.n < fewestClients:
		return say("only %d calls of %q were due while the trigger %q was in force, too few to say that it brought "+
			"the service down", c.during.n, c.attack, c.trigger.Name)
	case c.during.ratio() >= m.Ratio:
		return fmt.Sprintf("while the trigger %q was in force %s of the calls of %q were good, so that there was nothing "+
			"to come back from; use a stronger one", c.trigger.Name, pctSeen(c.during.ratio()), c.attack)
	case ratio(c.dropped, c.dropped+c.sent) > dropsBearable:
		return say("%d of %d calls of %q could not be sent, so that the clients were not those of the plan",
			c.dropped, c.dropped+c.sent, c.attack)
	}
	for _, w := range c.windows {
		if w.n < fewestClients {
			return say("a window of %v had only %d calls of %q, fewer than %d", clientWindow, w.n, c.attack,
				fewestClients)
		}
	}
	return ""
}

// watched is how long the whole windows are in all.
func (c *crowd) watched() time.Duration {
	return time.Duration(len(c.windows)) * clientWindow
}

// lastBad is when the last bad window ended, counted from the trigger's end.
func (c *crowd) lastBad() time.Duration {
	for i := len(c.bad) - 1; i >= 0; i-- {
		if c.bad[i] {
			return time.Duration(i+1) * clientWindow
		}
	}
	return 0
}

// calm says that enough has been seen of a service that came back.
func (c *crowd) calm() bool {
	calm := len(c.windows) - int(c.lastBad()/clientWindow)
	return calm >= windowsOfCalm && c.test.sure == Held &&
		c.windows[len(c.windows)-1].amplification() <= calmRetries
}

// latest adds up the windows of the last look.
func (c *crowd) latest() (sum calls) {
	for _, w := range c.windows[max(len(c.windows)-int(lastLook/clientWindow), 0):] {
		sum = calls{sum.n + w.n, sum.good + w.good, sum.tries + w.tries}
	}
	return sum
}

func (c *crowd) ratioOfLast() float64         { return c.latest().ratio() }
func (c *crowd) amplificationOfLast() float64 { return c.latest().amplification() }

func (c *crowd) quantities(d *docket, m Metastability) {
	worst, at := 1.0, 0
	for i, w := range c.windows {
		if w.ratio() < worst {
			worst, at = w.ratio(), i
		}
	}
	d.add(
		measured("good_before", c.before.ratio(), "1", c.before.n),
		measured("good_during", c.during.ratio(), "1", c.during.n),
		measured("amplification_during", c.during.amplification(), "1", c.during.n),
		measured("watched", c.watched().Seconds(), "s", len(c.windows)),
	)
	if len(c.windows) == 0 {
		return
	}
	d.add(
		bounded("good_last", c.ratioOfLast(), "1", ">=", m.Ratio, c.latest().n),
		measured("good_worst", worst, "1", c.windows[at].n),
		measured("amplification_last", c.amplificationOfLast(), "1", c.latest().n),
		boundedTime("down_after_trigger", c.lastBad(), m.Within, len(c.windows)),
	)
}
