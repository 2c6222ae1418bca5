package detect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

const errorsLooked = "a counter, or a histogram's count, that names the dependency or its kind and says error, fail " +
	"or timeout in its name, or has a label such as outcome, status or code with a value that stands for one"

// failing holds the errors that the metrics count to those that a fault made.
func (p *DependencyMetrics) failing(
	d *docket, j journal.Journal, dep journal.DependencyInfo, s journal.Step, w journal.Window,
) {
	grown, _, err := grownSince(j, w.From)
	if err != nil {
		d.doubt("%v", err)
		return
	}
	told, name, seen := p.errorsTold(j.Header(), dep, grown)
	made := 0
	for e, c := range journal.Of[journal.Call](j) {
		made += one(e.On == dep.Name && c.Fault != "" && (c.Status >= 500 || c.Status == 429))
	}
	least := max(p.ErrorShare*float64(made), 1)
	d.add(bounded("errors_told_"+dep.Name, told, "1", ">=", least, made))
	switch why := unseenErrors(j, dep.Name, w); {
	case told < least && why != "":
		d.doubt("how %s failed between %v and %v need not show in the metrics: %s", dep.Name, w.From, w.To, why)
	case !seen && told == 0:
		d.against("promised: metrics tell which dependency fails; no metric counts errors of %s, while %s was in force on "+
			"it (%v to %v); looked for %s", dep.Name, s.Action, w.From, w.To, errorsLooked)
	case told == 0:
		d.pointScrapes(j, w.To, func(s journal.Sample) bool { family, _ := countName(s); return family == name })
		d.against("promised: metrics tell which dependency fails; %s counted no error of %s, while %s was in force on it "+
			"(%v to %v): count every attempt by what became of it", name, dep.Name, s.Action, w.From, w.To)
	case told < least:
		d.doubt("%s counted %.0f errors of %s, of %d attempts that were made to fail: it may count calls and not attempts, "+
			"or not all of them", name, told, dep.Name, made)
	default:
		d.note("%s counted %.0f errors of %s, of which %d were answers that the fault made", name, told, dep.Name, made)
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

// errorsTold is the largest number of errors of a dependency that one metric
// counts, its name, and whether there is any that might.
func (p *DependencyMetrics) errorsTold(
	h journal.Header, dep journal.DependencyInfo, grown []journal.Sample,
) (told float64, name string, seen bool) {
	requests, _, _ := durationFamily(grown)
	sums := map[string]float64{}
	for _, s := range grown {
		family, counts := countName(s)
		owner, strength := p.tieTo(h, s)
		if !counts || family == requests || owner != dep.Name && strength != 1 ||
			words(family, "retries", "retry", "http_server", "wait", "acquire") {
			continue
		}
		if errorSeries(s) {
			sums[family] += s.Value
		}
	}
	for _, family := range slices.Sorted(maps.Keys(sums)) {
		if seen = true; name == "" || sums[family] > told {
			told, name = sums[family], family
		}
	}
	return told, name, seen
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
