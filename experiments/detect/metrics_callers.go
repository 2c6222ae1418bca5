package detect

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// classes of HTTP statuses, as metrics count them.
var classes = []string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// classOf is the class of a status or of a label's value: "404" and "4xx" are
// both 4xx.
func classOf(code string) string {
	if !codeValue.MatchString(code) {
		return ""
	}
	return code[:1] + "xx"
}

// scrapeMargin is how long before a scrape was sent an answer must have ended
// to be surely in it, and how long after it a request must have been sent to be
// surely not.
const scrapeMargin = 50 * time.Millisecond

func firstSent(j journal.Journal) (journal.Instant, bool) {
	var at journal.Instant
	found := false
	for r := range j.Requests(journal.Window{}) {
		if !r.Dropped && (!found || r.Sent < at) {
			at, found = r.Sent, true
		}
	}
	return at, found
}

// grownSince sums over the replicas by how much every series has grown from the
// last scrape before an instant to the last of all. The gaps are the times in
// which a replica's counts could be lost. The error says that there were no
// scrapes.
func grownSince(j journal.Journal, from journal.Instant) (grown []journal.Sample, gaps []journal.Window, err error) {
	sums := map[string]journal.Sample{}
	for _, replica := range j.Header().Replicas {
		var base, last journal.Metrics
		var begin journal.Instant // the first scrape that counts
		for m := range journal.Scrapes(j, replica) {
			switch {
			case last.Start == 0, m.At <= from:
				base, begin = m, m.At
			case m.Start != last.Start:
				addGrowth(sums, last.Since(base))
				gaps = append(gaps, journal.Window{From: last.At.Add(-scrapeMargin), To: m.At})
				base = journal.Metrics{}
			}
			last = m
		}
		if last.Start == 0 {
			return nil, nil, scrapeTrouble(j, replica)
		}
		addGrowth(sums, last.Since(base))
		gaps = append(gaps, journal.Window{To: begin.Add(scrapeMargin)},
			journal.Window{From: last.At.Add(-scrapeMargin)})
	}
	for _, key := range slices.Sorted(maps.Keys(sums)) {
		grown = append(grown, sums[key])
	}
	return grown, gaps, nil
}

func addGrowth(sums map[string]journal.Sample, grown []journal.Sample) {
	for _, s := range grown {
		s.Value += sums[s.Key()].Value
		sums[s.Key()] = s
	}
}

func scrapeTrouble(j journal.Journal, replica string) error {
	tries, last := 0, ""
	for e, s := range journal.Of[journal.Scrape](j) {
		if e.On == replica {
			tries, last = tries+1, s.Err
		}
	}
	if tries == 0 {
		return fmt.Errorf("no metrics of %s were scraped; name the endpoint as service.metrics", replica)
	}
	return fmt.Errorf("none of %d scrapes of %s succeeded: %s", tries, replica, last)
}

// answers is what callers of some requests got.
type answers struct {
	answered map[string]int // by class
	missing  map[string]int // of those, how many the metrics may lack
	example  map[string]Evidence
	waited   time.Duration // all together, from the sending
	lag      latencies
}

func newAnswers() *answers {
	return &answers{
		answered: map[string]int{}, missing: map[string]int{}, example: map[string]Evidence{}, lag: newLatencies(),
	}
}

// take adds what one request got.
func (a *answers) take(run string, r journal.Request, mayMiss bool) {
	class := classOf(strconv.Itoa(r.Code))
	a.answered[class]++
	a.missing[class] += one(mayMiss)
	a.waited += r.RawLatency()
	a.lag.add(r.Lag())
	if a.example[class].Kind == "" {
		a.example[class] = requestEvidence(run, r)
	}
}

func (a *answers) add(b *answers) {
	for class, n := range b.answered {
		a.answered[class] += n
		a.missing[class] += b.missing[class]
		if a.example[class].Kind == "" {
			a.example[class] = b.example[class]
		}
	}
	a.waited += b.waited
	a.lag.h.Merge(b.lag.h)
}

// answers is how many there were.
func (a *answers) answers() int {
	sum := 0
	for _, n := range a.answered {
		sum += n
	}
	return sum
}

// certain is how many the metrics cannot lack.
func (a *answers) certain() int {
	sum := a.answers()
	for _, n := range a.missing {
		sum -= n
	}
	return sum
}

func (a *answers) mean() time.Duration { return a.waited / time.Duration(max(1, a.answers())) }

// callers is what all callers got, by traffic request.
type callers struct {
	routes                      map[string]*answers
	extras                      map[string]int // of each: no answer, or sent again; they may be counted
	answered, failures, missing int
	extra                       int
	// strange is what requests for what is not there got; they belong to no
	// route.
	strange *answers
}

func countCallers(j journal.Journal, gaps []journal.Window) callers {
	c := callers{routes: map[string]*answers{}, extras: map[string]int{}, strange: newAnswers()}
	h, strange := j.Header(), strangeAttacks(j)
	for r := range j.Requests(journal.Window{}) {
		if r.Dropped {
			continue
		}
		a, uncertain := c.strange, 1 // it may be counted for any route
		if !strange[r.Attack] {
			a, uncertain = c.route(r.Route), r.Replays+one(r.Code == 0)
			c.extras[r.Route] += uncertain
		}
		c.extra += uncertain
		if r.Code == 0 {
			continue
		}
		mayMiss := slices.ContainsFunc(gaps, func(g journal.Window) bool {
			return (g.To == 0 || r.Sent < g.To) && r.Done > g.From
		}) || h.Balancer == "http" && (r.Code == http.StatusBadGateway || r.Code == http.StatusServiceUnavailable)
		a.take(h.Run, r, mayMiss)
		c.answered++
		c.missing += one(mayMiss)
		c.failures += one(r.Code >= http.StatusBadRequest)
	}
	return c
}

// route is what callers of one traffic request got.
func (c *callers) route(name string) *answers {
	if c.routes[name] == nil {
		c.routes[name] = newAnswers()
	}
	return c.routes[name]
}

// total is what all callers together got.
func (c callers) total() *answers {
	sum := newAnswers()
	for _, name := range slices.Sorted(maps.Keys(c.routes)) {
		sum.add(c.routes[name])
	}
	return sum
}

// asked is how many questions of our own the service may have counted.
func asked(j journal.Journal) int {
	n := 0
	for range j.Entries(journal.Poll{}.Kind(), journal.Scrape{}.Kind()) {
		n++
	}
	for _, q := range journal.Of[journal.Measured](j) {
		if strings.HasSuffix(q.Name, "_probes") {
			n += int(q.Value)
		}
	}
	return n
}

// labelsOf lists label values for a reason.
func labelsOf(nodes []node) string {
	var all []string
	for _, n := range nodes {
		if value := strconv.Quote(n.value); !slices.Contains(all, value) {
			all = append(all, value)
		}
	}
	if len(all) == 0 {
		return "no others"
	}
	if len(all) > 5 {
		all = append(all[:5], "…")
	}
	return strings.Join(all, ", ")
}
