package detect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// errorsLooked is what a dependency's count of errors is known by.
func errorsLooked(h journal.Header, dep journal.DependencyInfo) string {
	return "a counter, or a histogram's count, that " + cmp.Or(namesLooked(h, dep), "names the dependency or its kind") +
		" and says error, fail or timeout in its name, or has a label such as outcome, status or code with a value that " +
		"stands for one"
}

// failing holds the errors that the metrics count to those that a fault made.
func (p *DependencyMetrics) failing(
	d *docket, j journal.Journal, dep journal.DependencyInfo, s journal.Step, w journal.Window,
) {
	grown, _, err := grownSince(j, w.From)
	if err != nil {
		d.doubt("%v", err)
		return
	}
	e := p.errorsTold(j.Header(), dep, grown)
	made := 0
	for at, c := range journal.Of[journal.Call](j) {
		made += one(at.On == dep.Name && c.Fault != "" && (c.Status >= 500 || c.Status == 429))
	}
	least := max(p.ErrorShare*float64(made), 1)
	d.add(bounded("errors_told_"+dep.Name, e.told, "1", ">=", least, made))
	switch why := unseenErrors(j, dep.Name, w); {
	case e.told < least && why != "":
		d.doubt("how %s failed between %v and %v need not show in the metrics: %s", dep.Name, w.From, w.To, why)
	case !e.seen && e.told == 0:
		d.against("promised: metrics tell which dependency fails; no metric counts errors of %s, while %s was in force on "+
			"it (%v to %v); looked for %s%s", dep.Name, s.Action, w.From, w.To, errorsLooked(j.Header(), dep),
			vagueSaid(j.Header(), dep, e.vague))
	case e.told == 0:
		d.pointScrapes(j, w.To, func(s journal.Sample) bool { family, _ := countName(s); return family == e.name })
		d.against("promised: metrics tell which dependency fails; %s counted no error of %s, while %s was in force on it "+
			"(%v to %v): count every attempt by what became of it", e.name, dep.Name, s.Action, w.From, w.To)
	case e.told < least:
		d.doubt("%s counted %.0f errors of %s, of %d attempts that were made to fail: it may count calls and not attempts, "+
			"or not all of them", e.name, e.told, dep.Name, made)
	default:
		d.note("%s counted %.0f errors of %s, of which %d were answers that the fault made", e.name, e.told, dep.Name, made)
	}
}

// unseenErrors says why errors of a dependency need not have been counted in a
// fault; empty where they must have.
func unseenErrors(j journal.Journal, on string, w journal.Window) string {
	for _, replica := range j.Header().Replicas {
		if _, ok := journal.MetricsAfter(j, replica, w.To); !ok {
			return fmt.Sprintf("%s was not scraped after it", replica)
		}
	}
	if _, using := requestsSent(j, w, on); using == 0 {
		return fmt.Sprintf("no request that uses %s was sent meanwhile", on)
	}
	return ""
}

// errorCount is the largest number of errors of a dependency that one metric
// counts.
type errorCount struct {
	told  float64
	name  string // the metric's
	seen  bool   // there is one that might count them
	vague string // one that may count them, or those of another of its kind
}

func (p *DependencyMetrics) errorsTold(
	h journal.Header, dep journal.DependencyInfo, grown []journal.Sample,
) (out errorCount) {
	requests, _, _ := durationFamily(grown)
	sums := map[string]float64{}
	for _, s := range grown {
		family, counts := countName(s)
		if !counts || family == requests || words(family, "retries", "retry", "http_server", "wait", "acquire") ||
			!errorSeries(s) {
			continue
		}
		switch t := p.tieTo(h, s); {
		case t.owner == dep.Name || t.may(h, dep):
			sums[family] += s.Value
		case t.vague(h, dep):
			out.vague = family
		}
	}
	for _, family := range slices.Sorted(maps.Keys(sums)) {
		if out.seen = true; out.name == "" || sums[family] > out.told {
			out.told, out.name = sums[family], family
		}
	}
	return out
}

// errorSeries says that a series counts errors, by its name or a label's value.
func errorSeries(s journal.Sample) bool {
	if words(s.Name, "error", "fail", "timeout", "refused") {
		return true
	}
	for label, value := range s.Labels {
		switch value = strings.ToLower(value); {
		case label == "le" || label == "quantile":
		case codeValue.MatchString(value) && (value[0] == '5' || value == "429"),
			words(value, "error", "fail", "timeout", "refused", "unavailable", "exception"),
			words(label, "error") && value != "" && value != "false" && value != "none":
			return true
		}
	}
	return false
}
