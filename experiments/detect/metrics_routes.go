package detect

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// node is one label value of the request counter, with its method where that
// is known.
type node struct {
	value, method string
	shape         string
	classes       map[string]float64
	total         float64
}

// nodesOf gathers a counter's series by route and method.
func nodesOf(grown []journal.Sample, f family) []node {
	found := map[string]*node{}
	for _, s := range grown {
		name, counts := countName(s)
		class := classOf(s.Labels[f.code])
		if !counts || name != f.name || class == "" {
			continue
		}
		value := s.Labels[f.route]
		method, shape := pathShape(value)
		method = strings.ToUpper(cmp.Or(s.Labels[f.method], method))
		key := method + " " + value
		if found[key] == nil {
			found[key] = &node{value: value, method: method, shape: shape, classes: map[string]float64{}}
		}
		found[key].classes[class] += s.Value
		found[key].total += s.Value
	}
	var nodes []node
	for _, key := range slices.Sorted(maps.Keys(found)) {
		nodes = append(nodes, *found[key])
	}
	return nodes
}

// likeness is how well a label value fits a traffic request's path: the number
// of equal segments plus one, zero when it does not fit. A varying segment of
// either fits anything.
func likeness(labelMethod, labelShape, method, shape string) int {
	if labelMethod != "" && labelMethod != method {
		return 0
	}
	label, path := strings.Split(labelShape, "/"), strings.Split(shape, "/")
	if len(label) != len(path) {
		return 0
	}
	equal := 1
	for i := range label {
		switch {
		case label[i] == path[i]:
			equal++
		case label[i] != "*" && path[i] != "*":
			return 0
		}
	}
	return equal
}

// routeGroup is the traffic requests and the series that count the same.
type routeGroup struct {
	routes []string
	nodes  []node
	seen   *answers
	extra  int
}

// pathOf is a traffic request's method and path.
type pathOf struct{ method, shape string }

func pathOfRoute(r journal.Route) pathOf {
	_, shape := pathShape(r.Path)
	return pathOf{strings.ToUpper(cmp.Or(r.Method, http.MethodGet)), shape}
}

// match ties the traffic's requests to the counter's series: every request to
// the series that fit it best and every series to the requests that fit it
// best, joined into groups. Without any path that fits, it goes by totals. No
// group means that nothing could be tied; foreign are the series left over.
func match(routes []journal.Route, c callers, nodes []node, byRoute bool) (groups []routeGroup, foreign []node) {
	routes = slices.DeleteFunc(slices.Clone(routes), func(r journal.Route) bool {
		_, used := c.routes[r.Name]
		return !used
	})
	if !byRoute {
		return nil, nodes
	}
	tied := newRouteTies(len(routes), len(nodes))
	for i, r := range routes {
		p := pathOfRoute(r)
		tied.best(len(nodes), func(k int) int { return likeness(nodes[k].method, nodes[k].shape, p.method, p.shape) },
			func(k int) { tied.join(i, len(routes)+k) })
	}
	for k, n := range nodes {
		tied.best(len(routes), func(i int) int {
			p := pathOfRoute(routes[i])
			return likeness(n.method, n.shape, p.method, p.shape)
		}, func(i int) { tied.join(i, len(routes)+k) })
	}
	if !tied.any {
		for i, r := range routes {
			a := c.routes[r.Name]
			tied.byTotal(i, len(routes), nodes, float64(a.certain()), float64(a.answers()+c.extras[r.Name]))
		}
	}
	if !tied.any {
		return nil, nodes
	}
	return tied.groups(routes, nodes, c)
}

// routeTies joins requests (the first indices) and series (those after them).
type routeTies struct {
	parent []int
	any    bool
}

func newRouteTies(routes, nodes int) *routeTies {
	t := &routeTies{parent: make([]int, routes+nodes)}
	for i := range t.parent {
		t.parent[i] = i
	}
	return t
}

func (t *routeTies) root(i int) int {
	for t.parent[i] != i {
		i = t.parent[i]
	}
	return i
}

func (t *routeTies) join(a, b int) {
	t.any = true
	t.parent[t.root(a)] = t.root(b)
}

// best calls join with every candidate of the highest likeness above zero.
func (t *routeTies) best(n int, likeness func(int) int, join func(int)) {
	best := 0
	for k := range n {
		best = max(best, likeness(k))
	}
	for k := range n {
		if best > 0 && likeness(k) == best {
			join(k)
		}
	}
}

// byTotal joins a request with the one label value whose total is its own.
func (t *routeTies) byTotal(i, routes int, nodes []node, low, high float64) {
	sums := map[string]float64{}
	for _, n := range nodes {
		sums[n.value] += n.total
	}
	var fits []string
	for value, sum := range sums {
		if sum >= low && sum <= high && sum > 0 {
			fits = append(fits, value)
		}
	}
	if len(fits) != 1 {
		return
	}
	for k, n := range nodes {
		if n.value == fits[0] {
			t.join(i, routes+k)
		}
	}
}

// groups puts the joined ones together, in the order of the traffic.
func (t *routeTies) groups(routes []journal.Route, nodes []node, c callers) (groups []routeGroup, foreign []node) {
	at := map[int]int{}
	for i, r := range routes {
		root := t.root(i)
		if _, ok := at[root]; !ok {
			at[root] = len(groups)
			groups = append(groups, routeGroup{seen: newAnswers()})
		}
		g := &groups[at[root]]
		g.routes = append(g.routes, r.Name)
		g.seen.add(c.routes[r.Name])
		g.extra += c.extras[r.Name]
	}
	for k, n := range nodes {
		if g, ok := at[t.root(len(routes)+k)]; ok {
			groups[g].nodes = append(groups[g].nodes, n)
		} else {
			foreign = append(foreign, n)
		}
	}
	return groups, foreign
}

// spent is a histogram's sum and count.
type spent struct{ sum, count float64 }

// durationOf sums the histogram over the label values of a group.
func durationOf(grown []journal.Sample, name, route, method string, g routeGroup) spent {
	var all spent
	for _, s := range grown {
		if s.Name != name+"_sum" && s.Name != name+"_count" || !g.covers(s.Labels[route], s.Labels[method]) {
			continue
		}
		if s.Name == name+"_sum" {
			all.sum += s.Value
		} else {
			all.count += s.Value
		}
	}
	return all
}

// covers says whether a series of another family belongs to the group.
func (g routeGroup) covers(value, method string) bool {
	inValue, _ := pathShape(value)
	method = strings.ToUpper(cmp.Or(method, inValue))
	return slices.ContainsFunc(g.nodes, func(n node) bool {
		return n.value == value && (n.method == "" || method == "" || n.method == method)
	})
}

// routeLabelOf is the label of a histogram that names the route.
func routeLabelOf(grown []journal.Sample, name string) string {
	paths := routePaths{}
	for _, s := range grown {
		if s.Name == name+"_count" {
			paths.add(s.Labels)
		}
	}
	return paths.label()
}

func methodLabelOf(grown []journal.Sample, name string) string {
	return labelIn(grown, name, methodLabels)
}

func labelIn(grown []journal.Sample, name string, labels []string) string {
	for _, s := range grown {
		if s.Name == name+"_count" {
			if label := labelOf(s.Labels, labels); label != "" {
				return label
			}
		}
	}
	return ""
}
