package loadgen

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/textproto"
	"slices"
	"sort"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Source yields the targets of hits: compiled traffic, or a part of it. All
// parts of one traffic share what was captured. It is safe for use by several
// goroutines.
type Source struct {
	*traffic
	requests []*request
	sums     []float64 // weights up to and with each request
	// instead are sent while nothing has been captured for the one drawn.
	instead *Source
}

// traffic is what all sources of one Compile share.
type traffic struct {
	seed      uint64
	templates *templates
	store     *store
	setup     []*request
	readBack  *readBack // how writes are found again; nil without a read route
	registers *register // how registers are written and read; nil where there are none
	all       []*request
	secrets   []string
	// secretNames are captures that a header with a credential picks.
	secretNames []string
	timeout     time.Duration // of one request of the setup
	idHeader    string        // in which each request's id is sent; canonical
	trace       journal.TraceFormat
}

// request is one compiled kind of request.
type request struct {
	Request
	method  string
	path    text
	headers []header
	body    text
	vars    []variable
	key     text
	value   text
	id      *capture
	takes   []capture
	needs   []string // captures that it picks from
	ok      success
	static  bool // no part of it is a template
}

type header struct {
	name  string
	value text
	fixed []string // shared by all hits; nil when the value is a template
}

type variable struct {
	name  string
	value text
}

// Target is what one hit asks for.
type Target struct {
	Route  string // the request's name
	Method string
	Path   string // with query
	Header http.Header
	Body   string
	// Key is the write's key for the ledger; empty when it is not followed.
	Key string
	// Value is what must be stored with it; empty when the rule names nothing.
	Value string

	request *request
}

// Routes names the requests of the source in the traffic's order.
func (s *Source) Routes() []string {
	names := make([]string, len(s.requests))
	for i, r := range s.requests {
		names[i] = r.Name
	}
	return names
}

// Only returns the part of the source that consists of the named requests; all
// of them when none is named.
func (s *Source) Only(routes ...string) (*Source, error) {
	if len(routes) == 0 {
		return s, nil
	}
	var kept []*request
	for _, name := range routes {
		i := slices.IndexFunc(s.requests, func(r *request) bool { return r.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("traffic: no request is called %q; there are %q", name, s.Routes())
		}
		if !slices.Contains(kept, s.requests[i]) {
			kept = append(kept, s.requests[i])
		}
	}
	return newSource(s.traffic, kept)
}

// Using returns the part of the source whose requests use one of the named
// dependencies. Where no request says what it uses, that is all of them.
func (s *Source) Using(dependencies ...string) (*Source, error) {
	if len(dependencies) == 0 {
		return s, nil
	}
	said := false
	var kept []*request
	for _, r := range s.requests {
		said = said || len(r.Uses) > 0
		if slices.ContainsFunc(r.Uses, func(d string) bool { return slices.Contains(dependencies, d) }) {
			kept = append(kept, r)
		}
	}
	if !said {
		return s, nil
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("traffic: none of the requests %q uses %q", s.Routes(), dependencies)
	}
	return newSource(s.traffic, kept)
}

// Secrets are texts that must not be written anywhere: the values of headers
// that carry credentials, and what has been captured for them so far.
func (s *Source) Secrets() []string {
	return append(slices.Clone(s.secrets), s.store.all(s.secretNames)...)
}

// newSource is the part of a traffic that consists of the given requests.
func newSource(t *traffic, requests []*request) (*Source, error) {
	s := withWeights(t, requests)
	free := slices.DeleteFunc(slices.Clone(requests), t.waits)
	if len(free) == len(requests) {
		return s, nil
	}
	if len(free) == 0 {
		free = slices.DeleteFunc(slices.Clone(t.all), t.waits)
	}
	if len(free) == 0 {
		return nil, fmt.Errorf("traffic: request %q and all others pick from captures (%q), so that none can be first; "+
			"capture that in the setup", requests[0].Name, requests[0].needs)
	}
	s.instead = withWeights(t, free)
	return s, nil
}

// withWeights sums the weights up. Where none is given, all are alike.
func withWeights(t *traffic, requests []*request) *Source {
	s := &Source{traffic: t, requests: requests}
	weighted := slices.ContainsFunc(requests, func(r *request) bool { return r.Weight > 0 })
	sum := 0.0
	for _, r := range requests {
		if weighted {
			sum += r.Weight
		} else {
			sum++
		}
		s.sums = append(s.sums, sum)
	}
	return s
}

// waits says that a request picks something that the setup does not capture.
func (t *traffic) waits(r *request) bool {
	return slices.ContainsFunc(r.needs, func(name string) bool { return !t.fromSetup(name) })
}

func (t *traffic) fromSetup(name string) bool {
	return slices.ContainsFunc(t.setup, func(r *request) bool { _, ok := r.Capture[name]; return ok })
}

// Target returns what hit seq of an attack asks for. It depends on the seed,
// the attack's name and the number alone, except where captured values come in.
func (s *Source) Target(attack string, seq uint64) (Target, error) {
	h := s.hit(attack, seq)
	return s.fill(h)
}

// hit is the choice for one hit: what is drawn before anything is filled in.
type hit struct {
	request *request
	seq     uint64
	draws   rand.PCG
}

func (s *Source) hit(attack string, seq uint64) hit {
	return s.hitOf(stream(attack), seq)
}

// hitOf draws the request of a hit by weight.
func (s *Source) hitOf(stream, seq uint64) hit {
	h := hit{seq: seq}
	h.draws.Seed(s.seed^stream, scatter(seq))
	h.request = s.draw(&h.draws)
	if s.instead != nil && !s.store.has(h.request.needs) {
		h.request = s.instead.draw(&h.draws)
	}
	return h
}

func (s *Source) draw(source *rand.PCG) *request {
	if len(s.requests) == 1 {
		return s.requests[0]
	}
	at := float64(source.Uint64()>>11) / (1 << 53) * s.sums[len(s.sums)-1]
	i := sort.Search(len(s.sums)-1, func(i int) bool { return at < s.sums[i] })
	return s.requests[i]
}

// fill renders the target of a hit.
func (s *Source) fill(h hit) (Target, error) {
	if h.request.static {
		return h.request.asItStands(), nil
	}
	r := s.templates.get(h.draws.Uint64(), h.draws.Uint64())
	defer s.templates.put(r)
	t, err := r.target(h.request, h.seq)
	if err != nil {
		return t, fmt.Errorf("traffic: request %q: %w", h.request.Name, err)
	}
	return t, nil
}

// asItStands is the target of a request without templates.
func (q *request) asItStands() Target {
	t := Target{Route: q.Name, Method: q.method, Path: q.path.static, Body: q.body.static, request: q}
	t.Header = make(http.Header, len(q.headers)+2)
	for _, h := range q.headers {
		t.Header[h.name] = h.fixed
	}
	return t
}

// target fills a request's templates in: the variables, then the rest.
func (r *renderer) target(q *request, seq uint64) (Target, error) {
	r.seq = seq
	clear(r.vars)
	for _, v := range q.vars {
		value, err := r.render(v.value)
		if err != nil {
			return Target{}, wrong("vars "+v.name, err)
		}
		if r.vars == nil {
			r.vars = map[string]string{}
		}
		r.vars[v.name] = value
	}
	return r.rest(q, seq)
}

// rest fills in what comes after the variables.
func (r *renderer) rest(q *request, seq uint64) (Target, error) {
	r.seq = seq
	t := Target{Route: q.Name, Method: q.method, request: q}
	var err error
	if t.Path, err = r.render(q.path); err != nil {
		return t, wrong("path", err)
	}
	if t.Body, err = r.render(q.body); err != nil {
		return t, wrong("body", err)
	}
	if t.Key, err = r.render(q.key); err != nil {
		return t, wrong("write.key", err)
	}
	if t.Value, err = r.render(q.value); err != nil {
		return t, wrong("write.value", err)
	}
	t.Header = make(http.Header, len(q.headers)+2)
	for _, h := range q.headers {
		values := h.fixed
		if values == nil {
			value, err := r.render(h.value)
			if err != nil {
				return t, wrong("headers "+h.name, err)
			}
			values = []string{value}
		}
		t.Header[h.name] = values
	}
	return t, nil
}

func wrong(what string, err error) error { return fmt.Errorf("%s: %w", what, err) }

// stream tells the draws of attacks with different names apart.
func stream(attack string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(attack)) // a hash takes everything
	return h.Sum64()
}

// scatter spreads consecutive numbers over all 64 bits (splitmix64).
func scatter(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

func canonical(name string) string { return textproto.CanonicalMIMEHeaderKey(name) }
