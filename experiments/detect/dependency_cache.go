package detect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

const (
	// fewestLookups is how many a cache's metric must have counted before and in
	// the fault, and leastHits the share of hits before it from which on a fall
	// can be seen.
	fewestLookups = 20
	leastHits     = 0.1
	// hitsFallTo is the largest share of the hits of before while the cache is
	// gone: what is not there cannot be found.
	hitsFallTo = 0.5
)

const hitsLooked = "counters with hit and miss in their names, or in the value of a label"

// lookups are what one metric says of a cache.
type lookups struct{ hits, all float64 }

func (l lookups) ratio() float64 {
	if l.all == 0 {
		return 0
	}
	return l.hits / l.all
}

// hitOrMiss says whether a counter's series counts hits or misses of a cache, and
// what it is called without that word, so that cache_hits and cache_misses are one.
func hitOrMiss(s journal.Sample) (metric string, hit, counts bool) {
	if s.Type != "counter" {
		return "", false, false
	}
	for _, word := range []string{"hits", "hit", "misses", "miss"} {
		if hasToken(strings.ToLower(s.Name), word) {
			return strings.Replace(strings.ToLower(s.Name), word, "…", 1), strings.HasPrefix(word, "hit"), true
		}
	}
	for _, value := range s.Labels {
		if value = strings.ToLower(value); slices.Contains([]string{"hit", "hits", "miss", "misses"}, value) {
			return s.Name, strings.HasPrefix(value, "hit"), true
		}
	}
	return "", false, false
}

// lookupsOf adds up what the metrics say of caches, by metric. Other series of a
// metric (error, skipped) are look-ups that were no hits.
func lookupsOf(grown []journal.Sample) map[string]lookups {
	all := map[string]lookups{}
	for _, s := range grown {
		if metric, hit, ok := hitOrMiss(s); ok {
			l := all[metric]
			if hit {
				l.hits += s.Value
			}
			l.all += s.Value
			all[metric] = l
		}
	}
	for _, s := range grown {
		_, _, counted := hitOrMiss(s)
		if l, ok := all[s.Name]; ok && !counted && s.Type == "counter" {
			l.all += s.Value
			all[s.Name] = l
		}
	}
	return all
}

// of are the series of a dependency that others are of the kind of; all, where
// there are none.
func (p *DependencyMetrics) of(h journal.Header, dep journal.DependencyInfo, g seriesGrowth) []journal.Sample {
	if len(siblings(h, dep)) == 0 {
		return g.list()
	}
	return slices.DeleteFunc(g.list(), func(s journal.Sample) bool { return p.tieTo(h, s).owner != dep.Name })
}

// hits asks that the share of hits falls while a cache is gone. Not every Redis is
// a cache: without such a metric that is remarked on.
func (p *DependencyMetrics) hits(
	d *docket, j journal.Journal, dep journal.DependencyInfo, w journal.Window, before seriesGrowth,
) {
	then, err := grownWithin(j, w)
	if err != nil {
		d.doubt("%v", err)
		return
	}
	was, is := lookupsOf(p.of(j.Header(), dep, before)), lookupsOf(p.of(j.Header(), dep, then))
	if len(was)+len(is) == 0 {
		d.note("no metric tells how often %s has what is looked for; looked for %s", dep.Name, hitsLooked)
		return
	}
	best, fall := "", -1.0
	for _, metric := range slices.Sorted(maps.Keys(was)) {
		b, t := was[metric], is[metric]
		if b.all < fewestLookups || t.all < fewestLookups || b.ratio() < leastHits {
			continue
		}
		if f := 1 - t.ratio()/b.ratio(); f > fall {
			best, fall = metric, f
		}
	}
	if best == "" {
		d.note("too few look-ups in %s were hits before it was gone for their share to fall (%s)", dep.Name, lookupsSaid(was))
		return
	}
	b, t := was[best], is[best]
	d.add(bounded("hit_ratio_"+dep.Name, t.ratio(), "1", "<=", hitsFallTo*b.ratio(), int(t.all)))
	if t.ratio() > hitsFallTo*b.ratio() {
		d.pointScrapes(j, w.To, func(s journal.Sample) bool {
			metric, hit, _ := hitOrMiss(s)
			return hit && metric == best
		})
		d.against("%s was gone between %v and %v, and %s says that %s of the look-ups were hits (%s before): count a "+
			"look-up that fails as such", dep.Name, w.From, w.To, best, pctSeen(t.ratio()), pctSeen(b.ratio()))
	}
}

func lookupsSaid(all map[string]lookups) string {
	var said []string
	for _, metric := range slices.Sorted(maps.Keys(all)) {
		said = append(said, fmt.Sprintf("%s: %.0f of %.0f", metric, all[metric].hits, all[metric].all))
	}
	return strings.Join(said, ", ")
}
