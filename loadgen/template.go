package loadgen

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"

	"github.com/brianvoe/gofakeit/v7"
)

// text is a string of the traffic: as it stands, or a template by its number
// in every renderer.
type text struct {
	static string
	nth    int
	made   bool // it is a template
}

// templates are the parsed templates of a traffic. A renderer is made from
// them for each goroutine that renders at the same time, because gofakeit's
// functions are bound to one source of randomness.
type templates struct {
	parsed []*template.Template
	store  *store

	mu   sync.Mutex
	idle []*renderer
}

// add parses a string unless it holds no action, and returns what it picks.
func (ts *templates) add(s string) (text, []string, error) {
	if !strings.Contains(s, "{{") {
		return text{static: s}, nil, nil
	}
	// These functions are only looked at for their types.
	t, err := template.New("").Option("missingkey=error").Funcs(newRenderer(ts).functions()).Parse(s)
	if err != nil {
		return text{}, nil, shorten(err)
	}
	picked, err := picks(t.Root)
	if err != nil {
		return text{}, nil, err
	}
	ts.parsed = append(ts.parsed, t)
	return text{nth: len(ts.parsed) - 1, made: true}, picked, nil
}

// get hands out a renderer whose draws start from two seeds; put takes it back.
func (ts *templates) get(a, b uint64) *renderer {
	ts.mu.Lock()
	var r *renderer
	if n := len(ts.idle); n > 0 {
		r, ts.idle = ts.idle[n-1], ts.idle[:n-1]
	}
	ts.mu.Unlock()
	if r == nil {
		r = newRenderer(ts)
	}
	r.source.Seed(a, b)
	return r
}

func (ts *templates) put(r *renderer) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.idle = append(ts.idle, r)
}

// renderer fills templates in for one hit at a time.
type renderer struct {
	all    *templates
	source rand.PCG
	seq    uint64
	dry    bool // nothing has been captured yet, and a pick takes anything
	vars   map[string]string
	bound  []*template.Template // the parsed templates with this renderer's functions
	buffer strings.Builder
}

func newRenderer(ts *templates) *renderer { return &renderer{all: ts} }

// render fills one text in.
func (r *renderer) render(t text) (string, error) {
	if !t.made {
		return t.static, nil
	}
	if r.bound == nil {
		r.bound = make([]*template.Template, len(r.all.parsed))
	}
	if r.bound[t.nth] == nil {
		bound, err := r.all.parsed[t.nth].Clone()
		if err != nil {
			return "", err
		}
		r.bound[t.nth] = bound.Funcs(r.functions())
	}
	r.buffer.Reset()
	if err := r.bound[t.nth].Execute(&r.buffer, r.vars); err != nil {
		return "", shorten(err)
	}
	return r.buffer.String(), nil
}

// notForTraffic are gofakeit's functions that no template may use: they depend
// on the time of day, or do not return a text.
var notForTraffic = map[string]bool{
	"FutureDate": true, "PastDate": true, "RandomMapKey": true, "SQL": true, "Template": true, "Seed": true,
}

// functions are gofakeit's, by their own names and with a small first letter,
// and ours.
func (r *renderer) functions() template.FuncMap {
	faker := reflect.ValueOf(gofakeit.NewFaker(&r.source, false))
	funcs := make(template.FuncMap, 2*faker.NumMethod())
	for i := range faker.NumMethod() {
		m := faker.Type().Method(i)
		if out := m.Type.NumOut(); notForTraffic[m.Name] || out == 0 || out > 1 && !lastIsError(m.Type) {
			continue
		}
		f := faker.Method(i).Interface()
		funcs[m.Name] = f
		if small := strings.ToLower(m.Name[:1]) + m.Name[1:]; small != "slice" { // a word of the template language
			funcs[small] = f
		}
	}
	maps.Copy(funcs, template.FuncMap{
		"seq":  func() uint64 { return r.seq },
		"uuid": r.uuid,
		"pick": r.pick,
	})
	return funcs
}

func lastIsError(t reflect.Type) bool {
	return t.NumOut() == 2 && t.Out(1) == reflect.TypeFor[error]()
}

// uuid is a version 4 UUID drawn from the seed.
func (r *renderer) uuid() string {
	a, b := r.source.Uint64(), r.source.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x",
		a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}

func (r *renderer) pick(name string) (string, error) {
	if r.dry {
		return "1", nil
	}
	value, ok := r.all.store.pick(name, r.source.Uint64())
	if !ok {
		return "", fmt.Errorf("nothing has been captured as %q yet", name)
	}
	return value, nil
}

// shorten leaves the template's position out of an error: it names no file.
func shorten(err error) error {
	s := strings.TrimPrefix(err.Error(), "template: ")
	if i := strings.Index(s, ": "); i >= 0 && strings.HasPrefix(s, ":") {
		s = s[i+2:]
	}
	s = strings.TrimPrefix(s, `executing "" at `)
	return fmt.Errorf("%s", s)
}

// picks lists the captures that a template asks for.
func picks(n parse.Node) (names []string, err error) {
	walk(n, func(c *parse.CommandNode) {
		id, ok := c.Args[0].(*parse.IdentifierNode)
		if !ok || id.Ident != "pick" {
			return
		}
		if len(c.Args) == 2 {
			if name, ok := c.Args[1].(*parse.StringNode); ok {
				names = append(names, name.Text)
				return
			}
		}
		err = fmt.Errorf("pick needs the name of a capture in quotes, such as {{pick \"id\"}}")
	})
	return names, err
}

// walk visits every command of a template.
func walk(n parse.Node, visit func(*parse.CommandNode)) {
	branch := func(b *parse.BranchNode) {
		walk(b.Pipe, visit)
		walk(b.List, visit)
		walk(b.ElseList, visit)
	}
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, inner := range n.Nodes {
			walk(inner, visit)
		}
	case *parse.ActionNode:
		walk(n.Pipe, visit)
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for _, c := range n.Cmds {
			walk(c, visit)
		}
	case *parse.CommandNode:
		visit(n)
		for _, arg := range n.Args {
			walk(arg, visit)
		}
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	}
}
