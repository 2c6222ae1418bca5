package detect

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Series of services that nobody here wrote are recognised by their shape: type,
// words of the name, labels and their values. The words come from the exporters
// of database/sql (go_sql_*), pgxpool (pgxpool_*), Prometheus' and
// OpenTelemetry's HTTP middleware.

// words reports whether a name has one of some words in it.
func words(name string, some ...string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(some, func(w string) bool { return strings.Contains(name, w) })
}

// poolWaitLooked says, for reasons, what counts as a pool's wait metric.
const poolWaitLooked = "go_sql_wait_count_total, pgxpool_canceled_acquire_count, pgxpool_empty_acquire, " +
	"or any *pool*wait* or *pool*acquire* series"

// poolWait reports whether a series tells that callers had to wait for a
// database connection. How many connections were acquired is no such series: it
// grows with every query.
func poolWait(s journal.Sample) bool {
	switch {
	case strings.HasSuffix(s.Name, "_bucket"), words(s.Name, "redis", "http", "grpc"):
		return false
	case words(s.Name, "acquired"), words(s.Name, "acquire_count", "acquires") && !words(s.Name, "cancel", "empty"),
		words(s.Name, "acquire_duration") && !words(s.Name, "empty"):
		return false
	case words(s.Name, "wait", "pending"):
		return words(s.Name, "sql", "pool", "db", "database", "conn", "pg", "postgres")
	case words(s.Name, "acquire"):
		return words(s.Name, "sql", "pool", "db", "database", "conn", "pg", "postgres")
	}
	return false
}

// poolMax reports whether a gauge tells a pool's largest number of connections.
func poolMax(s journal.Sample) bool {
	if s.Type != "gauge" && s.Type != "untyped" || words(s.Name, "redis", "http", "idle", "lifetime", "time") {
		return false
	}
	return s.Name == "go_sql_max_open_connections" || strings.HasSuffix(s.Name, "pgxpool_max_conns") ||
		words(s.Name, "pool", "db", "sql") &&
			words(s.Name, "max_open", "max_conn", "max_size", "pool_max", "connections_max", "connection_max", "conns_max")
}

// codeValue matches an HTTP status, or a class of them: "404", "4xx".
var codeValue = regexp.MustCompile(`^[1-5](\d\d|[xX][xX])$`)

// Names of labels, the most telling first. Dots become underscores on the way
// into Prometheus.
var (
	codeLabels = []string{
		"code", "status", "status_code", "http_status", "http_status_code", "http_response_status_code",
		"response_code", "class",
	}
	routeLabels  = []string{"route", "http_route", "path", "handler", "endpoint", "uri", "url", "pattern", "operation"}
	methodLabels = []string{"method", "verb", "http_method", "http_request_method"}
)

// family is the series of one counter, or of one histogram, that count requests.
type family struct {
	name string // without _count
	// histogram says that it has durations beside the count.
	histogram           bool
	code, route, method string // names of labels; route and method may be empty
	total               float64

	paths routePaths
}

// requestLooked says, for reasons, what counts as a request counter.
var requestLooked = fmt.Sprintf("a counter, or a histogram's count, with a label such as %s whose values are HTTP "+
	"statuses or classes of them", strings.Join(codeLabels[:3], ", "))

// requestFamilies finds the families that count requests with their status,
// the likeliest first: with a label for the route, "http" or "request" in the
// name, and a total next to what was sent. Those of calls to dependencies and
// of the metrics endpoint itself are left out, unless the owner named one.
func requestFamilies(grown []journal.Sample, sent float64, named string) []family {
	found := map[string]*family{}
	for _, s := range grown {
		name, counts := countName(s)
		switch {
		case !counts, named != "" && name != named:
			continue
		case named == "" && words(name, "promhttp", "client", "outbound", "outgoing", "upstream", "dependency"):
			continue
		}
		code := codeLabel(s.Labels)
		if code == "" {
			continue
		}
		f, ok := found[name]
		if !ok {
			f = &family{name: name, histogram: s.Type == "histogram", code: code, paths: routePaths{}}
			found[name] = f
		}
		f.paths.add(s.Labels)
		f.method = cmp.Or(f.method, labelOf(s.Labels, methodLabels))
		f.total += s.Value
	}
	return slices.SortedFunc(func(yield func(family) bool) {
		for _, name := range slices.Sorted(maps.Keys(found)) {
			f := found[name]
			f.route = f.paths.label()
			if !yield(*f) {
				return
			}
		}
	}, func(a, b family) int {
		return cmp.Or(
			cmp.Compare(b.likeness(), a.likeness()),
			cmp.Compare(distance(a.total, sent), distance(b.total, sent)),
			cmp.Compare(one(a.histogram), one(b.histogram)), cmp.Compare(a.name, b.name))
	})
}

// routePaths says of labels that may name the route how many series have a path
// there.
type routePaths map[string]int

// add counts one series.
func (p routePaths) add(labels map[string]string) {
	for _, name := range routeLabels {
		value, ok := labels[name]
		if !ok {
			continue
		}
		_, rest, cut := strings.Cut(value, " ")
		p[name] += one(strings.HasPrefix(value, "/") || cut && strings.HasPrefix(rest, "/"))
	}
}

// label is the one with the most paths among its values, and the most telling
// where none has any: gin's handler is the name of a function, and its url a
// path. It is empty where no label may name the route.
func (p routePaths) label() string {
	best := ""
	for _, name := range routeLabels {
		if n, ok := p[name]; ok && (best == "" || n > p[best]) {
			best = name
		}
	}
	return best
}

func (f family) likeness() int {
	return 2*one(f.route != "") + one(words(f.name, "http")) + one(words(f.name, "request"))
}

func distance(a, b float64) float64 { return max(a-b, b-a) }

// countName is the family's name of a series that counts; histograms and
// summaries count in _count.
func countName(s journal.Sample) (string, bool) {
	switch s.Type {
	case "counter":
		return s.Name, true
	case "histogram", "summary":
		return strings.CutSuffix(s.Name, "_count")
	}
	return "", false
}

// codeLabel is the label whose value is an HTTP status.
func codeLabel(labels map[string]string) string {
	for _, name := range codeLabels {
		if codeValue.MatchString(labels[name]) {
			return name
		}
	}
	return ""
}

func labelOf(labels map[string]string, names []string) string {
	for _, name := range names {
		if _, ok := labels[name]; ok {
			return name
		}
	}
	return ""
}

// durationLooked says, for reasons, what counts as a request duration.
const durationLooked = "a histogram with duration, latency, seconds or time in its name and a label for the route or " +
	"the status"

// durationFamily finds the histogram of request durations; its name and unit
// (seconds per unit, so 0.001 for milliseconds).
func durationFamily(grown []journal.Sample) (name string, unit float64, ok bool) {
	best := -1
	for _, s := range grown {
		family, isCount := strings.CutSuffix(s.Name, "_count")
		if s.Type != "histogram" || !isCount || !words(family, "duration", "latency", "seconds", "time") ||
			words(family, "client", "outbound", "upstream", "dependency", "sql", "db", "redis", "gc", "pool") {
			continue
		}
		route, code := labelOf(s.Labels, routeLabels), codeLabel(s.Labels)
		if route == "" && code == "" {
			continue
		}
		score := 2*one(route != "") + one(code != "") + one(words(family, "http")) + one(words(family, "request"))
		if score > best {
			best, name = score, family
		}
	}
	unit = 1
	if words(name, "millisecond", "_ms") {
		unit = 0.001
	}
	return name, unit, best >= 0
}

// pathTemplate matches what stands for a varying part of a path in traffic
// templates and in label values: {{.id}}, ${id}, {id}, :id, *, <id>, $id.
var pathTemplate = regexp.MustCompile(`\{\{.*?\}\}|\$\{.*?\}|\{.*?\}|<.*?>`)

// pathShape brings a path template or a label's value into one form: varying
// segments become *, queries, trailing slashes and a host go. The method is
// split off where the value begins with one ("GET /orders/{id}").
func pathShape(value string) (method, shape string) {
	value = strings.ReplaceAll(value, "{$}", "")
	value = strings.TrimSpace(pathTemplate.ReplaceAllString(value, "*"))
	if m, rest, ok := strings.Cut(value, " "); ok && m == strings.ToUpper(m) && strings.Contains(rest, "/") {
		method, value = m, strings.TrimSpace(rest)
	}
	value, _, _ = strings.Cut(value, "?")
	if i := strings.Index(value, "/"); i > 0 {
		value = value[i:] // a host before the path
	}
	segments := strings.Split(strings.Trim(value, "/"), "/")
	for i, s := range segments {
		if strings.ContainsAny(s, "*") || strings.HasPrefix(s, ":") || strings.HasPrefix(s, "$") {
			segments[i] = "*"
		}
	}
	return method, "/" + strings.Join(segments, "/")
}
