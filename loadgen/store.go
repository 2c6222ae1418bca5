package loadgen

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/ohler55/ojg/jp"
	"github.com/ohler55/ojg/oj"
)

// remembered is how many captured values of one name are kept: the latest.
const remembered = 1000

// store holds captured values for all attacks of a run.
type store struct {
	mu     sync.RWMutex
	values map[string]*latest
}

// latest is a ring of the latest values.
type latest struct {
	ring []string
	next int
}

func (s *store) add(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.values[name]
	if l == nil {
		l = &latest{}
		s.values[name] = l
	}
	if len(l.ring) < remembered {
		l.ring = append(l.ring, value)
		return
	}
	l.ring[l.next] = value
	l.next = (l.next + 1) % remembered
}

func (s *store) pick(name string, draw uint64) (string, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l := s.values[name]
	if l == nil {
		return "", false
	}
	return l.ring[draw%uint64(len(l.ring))], true
}

// all returns the values of several names.
func (s *store) all(names []string) (values []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, name := range names {
		if l := s.values[name]; l != nil {
			values = append(values, l.ring...)
		}
	}
	return values
}

// has says whether something was captured under each of the names.
func (s *store) has(names []string) bool {
	if len(names) == 0 {
		return true
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, name := range names {
		if s.values[name] == nil {
			return false
		}
	}
	return true
}

// capture takes one value from a JSON answer.
type capture struct {
	name string
	path jp.Expr
}

func newCapture(name, path string) (capture, error) {
	expr, err := jp.ParseString(path)
	if err != nil || len(expr) == 0 {
		return capture{}, fmt.Errorf("%q is no JSONPath such as $.id", path)
	}
	return capture{name, expr}, nil
}

// from looks the value up; false when the document has none.
func (c capture) from(document any) (string, bool) {
	value, ok := c.path.FirstFound(document)
	if !ok || value == nil {
		return "", false
	}
	switch v := value.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return oj.JSON(value), true
}
