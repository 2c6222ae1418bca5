package subject

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/yamlfile"
	"github.com/seatrial/seatrial/loadgen"
)

var (
	successRule = regexp.MustCompile(`^[1-5](xx|[0-9][0-9])$`)
	methodRule  = regexp.MustCompile(`^[A-Z]{1,20}$`)
)

// maxRate is above what one machine can send, in requests a second.
const maxRate = 100_000

func (c checker) traffic() {
	t := c.Traffic
	if !c.d.Has("traffic") {
		return
	}
	if c.d.Has("traffic.rate") && (t.Rate <= 0 || t.Rate > maxRate) {
		c.wrong("traffic.rate", fmt.Sprintf("a rate above 0, up to %d", maxRate), "a rate of %v requests a second", t.Rate)
	}
	c.port("traffic.port", t.Port)
	c.header("traffic.request_id", t.RequestID)
	if c.d.Has("traffic.trace") {
		c.oneOf("traffic.trace", t.Trace, journal.TraceFormats()...)
	}
	if len(t.Requests) == 0 && c.d.Has("traffic.requests") {
		c.wrong("traffic.requests", "at least one request", "the traffic is empty")
	}
	seen := map[string]string{}
	c.requests("traffic.setup", t.Setup, seen)
	c.requests("traffic.requests", t.Requests, seen)
	total := 0.0
	for i, r := range t.Requests {
		at := yamlfile.Index("traffic.requests", i)
		if r.Weight < 0 {
			c.wrong(at+".weight", "0 or more", "a weight of %v", r.Weight)
		}
		total += max(r.Weight, -r.Weight)
	}
	if len(t.Requests) > 0 && total == 0 {
		c.wrong("traffic.requests", "a weight above 0 for at least one request", "all weights are 0")
	}
	c.headers("traffic.headers", t.Headers)
	c.callers()
	c.ledger()
	c.register()
	if c.d.Err() != nil {
		return // what follows would be told twice
	}
	for _, m := range loadgen.Check(t) {
		c.wrong("traffic."+m.At, "what can be filled in and sent", "%s", strings.TrimPrefix(m.Error(), "traffic: "))
	}
}

// register must say how one is named, written and read.
func (c checker) register() {
	r := c.Traffic.Register
	if r == nil {
		return
	}
	if !methodRule.MatchString(r.Write.Method) {
		c.wrong("traffic.register.write.method", "PUT, POST or PATCH", "bad method %q", r.Write.Method)
	}
	for at, path := range map[string]string{
		"traffic.register.write.path": r.Write.Path, "traffic.register.read.path": r.Read.Path,
	} {
		if c.d.Has(at) && !strings.HasPrefix(path, "/") {
			c.wrong(at, "a path that begins with /", "bad path %q", path)
		}
	}
	c.success("traffic.register.write.success", r.Write.Success)
}

func (c checker) success(at string, rules []string) {
	for i, text := range rules {
		if !successRule.MatchString(text) {
			c.wrong(yamlfile.Index(at, i), "a status such as 201 or a class such as 2xx", "bad status %q", text)
		}
	}
}

// headers must have names that HTTP knows, and values on one line.
func (c checker) headers(at string, headers map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		switch {
		case name == "" || strings.Trim(name, headerLetters) != "":
			c.wrong(yamlfile.Join(at, name), "a header such as Content-Type", "bad header %q", name)
		case strings.ContainsAny(headers[name], "\r\n"):
			c.wrong(yamlfile.Join(at, name), "a value on one line", "the value of %s has several lines", name)
		}
	}
}

// header must be the name of one, where the file says it.
func (c checker) header(at, name string) {
	if c.d.Has(at) && (name == "" || strings.Trim(name, headerLetters) != "") {
		c.wrong(at, "a header such as X-Correlation-Id", "bad header %q", name)
	}
}

// callers must be two at least, whom the header tells apart.
func (c checker) callers() {
	known := c.Traffic.Callers
	if known == nil {
		return
	}
	if c.d.Has("traffic.callers.header") && strings.Trim(known.Header, headerLetters) != "" || known.Header == "" {
		c.wrong("traffic.callers.header", "a header such as Authorization or X-Api-Key", "bad header %q", known.Header)
	}
	seen := map[string]bool{}
	for i, value := range known.Values {
		if value == "" || seen[value] {
			c.wrong(yamlfile.Index("traffic.callers.values", i), "a value for each caller", "an empty value, or one twice")
		}
		seen[value] = true
	}
	if c.d.Has("traffic.callers.values") && len(known.Values) < 2 {
		c.wrong("traffic.callers.values", "two values at least", "%d callers", len(known.Values))
	}
}

// headerLetters are what the names of headers are made of in practice.
const headerLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func (c checker) requests(at string, requests []loadgen.Request, seen map[string]string) {
	for i, r := range requests {
		path := yamlfile.Index(at, i)
		if first, twice := seen[r.Name]; twice && r.Name != "" {
			c.wrong(path+".name", "a name of its own", "%q is also the name of %s", r.Name, first)
		}
		seen[r.Name] = path
		c.request(path, r)
	}
}

func (c checker) request(at string, r loadgen.Request) {
	if r.Name == "" && c.d.Has(at+".name") {
		c.wrong(at+".name", "a short name", "an empty name")
	}
	if !methodRule.MatchString(r.Method) {
		c.wrong(at+".method", "GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS", "bad method %q", r.Method)
	}
	if c.d.Has(at+".path") && !strings.HasPrefix(r.Path, "/") && !strings.HasPrefix(r.Path, "{{") {
		c.wrong(at+".path", "a path that begins with /", "bad path %q", r.Path)
	}
	c.success(at+".success", r.Success)
	c.headers(at+".headers", r.Headers)
	for i, name := range r.Uses {
		c.dependency(yamlfile.Index(at+".uses", i), name)
	}
	if r.Write != nil && c.Traffic.Ledger == nil {
		c.wrong(at+".write", "traffic.ledger with the dependency and the query that find the write again",
			"a write to remember, but no ledger")
	}
}

func (c checker) dependency(at, name string) bool {
	if _, ok := c.Dependency(name); ok {
		return true
	}
	names := make([]string, len(c.Dependencies))
	for i, d := range c.Dependencies {
		names[i] = d.Name
	}
	c.wrong(at, yamlfile.Nearest(name, names), "no dependency is called %q", name)
	return false
}

func (c checker) ledger() {
	l := c.Traffic.Ledger
	if l == nil {
		return
	}
	switch sql := l.Dependency != "" || l.Query != ""; {
	case sql && l.Read != nil:
		c.wrong("traffic.ledger.read", "one of them", "the ledger has both a query and a route to read from")
	case l.Read == nil && (l.Dependency == "" || l.Query == ""):
		c.wrong("traffic.ledger", "dependency: and query:, or read: {path: …}",
			"the ledger does not say how stored writes are read")
	case l.Read != nil && !strings.HasPrefix(l.Read.Path, "/"):
		c.wrong("traffic.ledger.read.path", "a path that begins with /", "bad path %q", l.Read.Path)
	case l.Read != nil && !strings.Contains(l.Read.Path, "{{"):
		c.wrong("traffic.ledger.read.path", "a template with .key or .id", "%q finds the same for every write", l.Read.Path)
	}
	if c.d.Has("traffic.ledger.dependency") && c.dependency("traffic.ledger.dependency", l.Dependency) {
		if dep, _ := c.Dependency(l.Dependency); dep.Kind != Postgres {
			c.wrong("traffic.ledger.dependency", "a dependency of kind postgres", "%s is of kind %s", dep.Name, dep.Kind)
		}
	}
	if !slices.ContainsFunc(c.Traffic.Requests, func(r loadgen.Request) bool { return r.Write != nil }) {
		c.wrong("traffic.ledger", "write: {key: …} on the requests whose effects it holds",
			"a ledger, but no write to remember")
	}
}
