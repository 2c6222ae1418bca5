package loadgen

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Compile checks traffic and makes it ready to be sent. The same seed gives the
// same targets. An error is one sentence that names the request.
//
// Headers of the whole traffic are templates too, so that a token captured in
// the setup can be sent with everything: Authorization: Bearer {{pick
// "token"}}; requests of the setup that come before the capture go without
// such a header.
func Compile(t Traffic, seed uint64) (*Source, error) {
	if len(t.Requests) == 0 {
		return nil, errors.New("traffic: there are no requests; name at least one")
	}
	c, mistakes := compile(t, seed)
	if len(mistakes) > 0 {
		return nil, mistakes[0]
	}
	return newSource(c.traffic, c.all)
}

// Check lists what [Compile] would not take, one mistake a request at most, so
// that the place of each can be shown.
func Check(t Traffic) []*Misplaced {
	c, mistakes := compile(t, 0)
	if len(mistakes) == 0 && len(c.all) > 0 {
		if _, err := newSource(c.traffic, c.all); err != nil {
			mistakes = append(mistakes, &Misplaced{At: "requests", Err: err})
		}
	}
	return mistakes
}

// Misplaced is a mistake in traffic, and where it is: requests[2].vars.key.
type Misplaced struct {
	At  string
	Err error
}

// Error is one sentence that names the request.
func (m *Misplaced) Error() string { return m.Err.Error() }

// Unwrap returns the cause.
func (m *Misplaced) Unwrap() error { return m.Err }

// within puts a mistake into its request, whose place goes before its own.
func within(at string, err error, format string, args ...any) *Misplaced {
	var inner *Misplaced
	if errors.As(err, &inner) {
		at += "." + inner.At
	}
	return &Misplaced{At: at, Err: fmt.Errorf(format+": %w", append(args, err)...)}
}

// compile makes ready what it can, and lists the rest.
func compile(t Traffic, seed uint64) (*compiler, []*Misplaced) {
	shared := &store{values: map[string]*latest{}}
	c := &compiler{
		traffic: &traffic{
			seed: seed, store: shared, templates: newTemplates(shared), timeout: t.Timeout,
			idHeader: http.CanonicalHeaderKey(cmp.Or(t.RequestID, journal.RequestIDHeader)),
			trace:    journal.TraceFormat(cmp.Or(t.Trace, string(journal.TraceW3C))),
		},
		common: t.Headers,
		names:  map[string]bool{},
		taken:  map[string]bool{},
	}
	for _, r := range slices.Concat(t.Setup, t.Requests) {
		for name := range r.Capture {
			c.taken[name] = true
		}
	}
	var mistakes []*Misplaced
	c.inSetup = true
	for i, r := range t.Setup {
		q, err := c.setupRequest(r)
		if err != nil {
			mistakes = append(mistakes, within(fmt.Sprintf("setup[%d]", i), err, "traffic: setup request %q", r.Name))
			continue
		}
		c.setup = append(c.setup, q)
	}
	c.inSetup = false
	for i, r := range t.Requests {
		q, err := c.request(r)
		if err != nil {
			mistakes = append(mistakes, within(fmt.Sprintf("requests[%d]", i), err, "traffic: request %q", r.Name))
			continue
		}
		c.all = append(c.all, q)
	}
	if t.Ledger != nil && t.Ledger.Read != nil {
		var err error
		if c.readBack, err = c.readRoute(*t.Ledger.Read); err != nil {
			mistakes = append(mistakes, within("ledger.read", err, "traffic: ledger: read"))
		}
	}
	if t.Register != nil {
		var err error
		if c.registers, err = c.register(*t.Register); err != nil {
			mistakes = append(mistakes, within("register", err, "traffic: register"))
		}
	}
	c.secrets = credentials(t)
	return c, mistakes
}

type compiler struct {
	*traffic
	common map[string]string
	names  map[string]bool
	taken  map[string]bool // all names that something is captured under
	// inSetup: the requests compiled now are those of the setup.
	inSetup bool
}

func (c *compiler) request(r Request) (*request, error) {
	if r.Name == "" {
		return nil, errors.New("it has no name")
	}
	if c.names[r.Name] {
		return nil, errors.New("there are two of that name")
	}
	c.names[r.Name] = true
	if !(r.Weight >= 0) {
		return nil, fmt.Errorf("its weight is %v; it must be positive", r.Weight)
	}
	q := &request{Request: r, method: strings.ToUpper(r.Method)}
	if q.method == "" {
		q.method = http.MethodGet
	}
	for _, part := range []func(*request) error{
		c.parsePathAndBody, c.parseVars, c.parseHeaders, c.parseWrite, c.parseCaptures, c.parseSuccess, c.try,
	} {
		if err := part(q); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// setupRequest is a request that is sent once, in its place.
func (c *compiler) setupRequest(r Request) (*request, error) {
	if r.Write != nil {
		return nil, errors.New("write: the ledger follows only what the load writes; move it to the requests")
	}
	q, err := c.request(r)
	if err != nil {
		return nil, err
	}
	if !c.captured(q.needs) {
		return nil, fmt.Errorf("it picks from %q, which no setup request before it captures", q.needs)
	}
	return q, nil
}

func (c *compiler) captured(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !c.fromSetup(name) })
}

// parse makes a text of a string and notes what the request picks in it.
func (c *compiler) parse(q *request, what, s string) (text, error) {
	t, picked, err := c.check(what, s)
	q.need(picked)
	return t, err
}

// check makes a text of a string and returns what it picks.
func (c *compiler) check(what, s string) (text, []string, error) {
	t, picked, err := c.templates.add(s)
	if err != nil {
		return text{}, nil, in(what, err)
	}
	for _, name := range picked {
		if !c.taken[name] {
			return text{}, nil, in(what, fmt.Errorf("no request captures %q; captured are: %s",
				name, cmp.Or(strings.Join(slices.Sorted(maps.Keys(c.taken)), ", "), "none")))
		}
	}
	return t, picked, nil
}

// in names the part of a request that a mistake is in, such as "vars key".
func in(what string, err error) error {
	return &Misplaced{At: strings.ReplaceAll(what, " ", "."), Err: fmt.Errorf("%s: %w", what, err)}
}

func (q *request) need(names []string) {
	for _, name := range names {
		if !slices.Contains(q.needs, name) {
			q.needs = append(q.needs, name)
		}
	}
}

func (c *compiler) parsePathAndBody(q *request) (err error) {
	if q.path, err = c.parse(q, "path", q.Path); err != nil {
		return err
	}
	q.body, err = c.parse(q, "body", q.Body)
	return err
}

func (c *compiler) parseVars(q *request) error {
	for _, name := range slices.Sorted(maps.Keys(q.Vars)) {
		value, err := c.parse(q, "vars "+name, q.Vars[name])
		if err != nil {
			return err
		}
		q.vars = append(q.vars, variable{name, value})
	}
	return nil
}

// parseHeaders puts the traffic's headers and the request's own together.
func (c *compiler) parseHeaders(q *request) error {
	own, values := map[string]string{}, map[string]string{}
	for name, value := range q.Headers {
		own[canonical(name)] = value
	}
	for name, value := range c.common {
		values[canonical(name)] = value
	}
	maps.Copy(values, own)
	if _, ok := values["Content-Type"]; !ok && strings.ContainsAny(firstByte(q.Body), "{[") {
		values["Content-Type"] = "application/json"
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value, picked, err := c.check("headers "+name, values[name])
		if err != nil {
			return err
		}
		if _, its := own[name]; c.inSetup && !its && !c.captured(picked) {
			continue // what it carries is yet to be captured
		}
		q.need(picked)
		for _, capture := range picked {
			if secretHeader(name) && !slices.Contains(c.secretNames, capture) {
				c.secretNames = append(c.secretNames, capture)
			}
		}
		h := header{name: name, value: value}
		if !value.made {
			h.fixed = []string{value.static}
		}
		q.headers = append(q.headers, h)
	}
	return nil
}

// firstByte is the first byte of a JSON body; an action is not JSON's brace.
func firstByte(body string) string {
	body = strings.TrimSpace(body)
	if body == "" || strings.HasPrefix(body, "{{") {
		return ""
	}
	return body[:1]
}

func (c *compiler) parseWrite(q *request) (err error) {
	if q.Write == nil {
		return nil
	}
	if q.key, err = c.parse(q, "write.key", q.Write.Key); err != nil {
		return err
	}
	if !q.key.made {
		return in("write.key", fmt.Errorf("%q is the same for every hit; use a variable such as {{.key}}", q.Write.Key))
	}
	if q.value, err = c.parse(q, "write.value", q.Write.Value); err != nil {
		return err
	}
	if q.Write.ID == "" {
		return nil
	}
	id, err := newCapture("id", q.Write.ID)
	if err != nil {
		return in("write.id", err)
	}
	q.id = &id
	return nil
}

func (c *compiler) parseCaptures(q *request) error {
	for _, name := range slices.Sorted(maps.Keys(q.Capture)) {
		taken, err := newCapture(name, q.Capture[name])
		if err != nil {
			return in("capture "+name, err)
		}
		q.takes = append(q.takes, taken)
	}
	return nil
}

func (c *compiler) parseSuccess(q *request) (err error) {
	q.ok, err = newSuccess(q.Success)
	return err
}

// try fills the request in once, so that what a template does wrong is said
// before anything starts.
func (c *compiler) try(q *request) error {
	q.static = !q.path.made && !q.body.made && !q.key.made && len(q.vars) == 0 &&
		!slices.ContainsFunc(q.headers, func(h header) bool { return h.value.made })
	r := c.templates.get(c.seed, 0)
	r.dry = true
	defer func() {
		r.dry = false
		c.templates.put(r)
	}()
	t, err := r.target(q, 0)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(t.Path, "/") {
		return in("path", fmt.Errorf("%q does not begin with a slash", t.Path))
	}
	if _, err := url.ParseRequestURI(t.Path); err != nil {
		return in("path", fmt.Errorf("%q is no path of a URL", t.Path))
	}
	if strings.Trim(t.Method, methodLetters) != "" {
		return in("method", fmt.Errorf("%q is no HTTP method", t.Method))
	}
	return nil
}

// methodLetters are what methods are made of in practice; RFC 9110 would allow
// a few signs more.
const methodLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_"

// credentials are the values of headers that carry a secret, and their parts
// without the scheme before them ("Bearer").
func credentials(t Traffic) []string {
	found := map[string]bool{}
	sets := []map[string]string{t.Headers}
	if c := t.Callers; c != nil {
		for _, value := range c.Values {
			sets = append(sets, map[string]string{c.Header: value})
		}
	}
	for _, r := range slices.Concat(t.Setup, t.Requests) {
		sets = append(sets, r.Headers)
	}
	for _, headers := range sets {
		for name, value := range headers {
			if !secretHeader(name) || strings.Contains(value, "{{") {
				continue
			}
			found[value] = true
			if _, bare, ok := strings.Cut(value, " "); ok {
				found[bare] = true
			}
		}
	}
	delete(found, "")
	return slices.Sorted(maps.Keys(found))
}

func secretHeader(name string) bool {
	name = strings.ToLower(name)
	if strings.HasSuffix(name, "idempotency-key") {
		return false
	}
	for _, word := range []string{"authorization", "cookie", "token", "secret", "password", "key", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
