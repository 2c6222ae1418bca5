package loadgen

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
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

// templates are the parsed templates of a traffic. What fills them in is made
// anew for each goroutine that renders at the same time, because gofakeit's
// functions are bound to one source of randomness; there are only so many.
type templates struct {
	parsed []parsed
	store  *store
	known  template.FuncMap // every function, to parse with
	idle   chan *renderer
	spare  atomic.Int64 // renderers that may still be made
}

// parsed is one template and the functions that it calls.
type parsed struct {
	tree  *parse.Tree
	calls []string
}

func newTemplates(s *store) *templates {
	n := 2 * runtime.GOMAXPROCS(0)
	ts := &templates{store: s, idle: make(chan *renderer, n)}
	ts.spare.Store(int64(n))
	ts.known = newRenderer(ts).functions(allFunctions())
	return ts
}

// add parses a string unless it holds no action, and returns what it picks.
func (ts *templates) add(s string) (text, []string, error) {
	if !strings.Contains(s, "{{") {
		return text{static: s}, nil, nil
	}
	t, err := template.New("").Funcs(ts.known).Parse(s)
	if err != nil {
		return text{}, nil, shorten(err)
	}
	picked, err := picks(t.Root)
	if err != nil {
		return text{}, nil, err
	}
	ts.parsed = append(ts.parsed, parsed{t.Tree, ts.calls(t.Root)})
	return text{nth: len(ts.parsed) - 1, made: true}, picked, nil
}

// calls lists the functions of ours and gofakeit's that a template calls.
func (ts *templates) calls(n parse.Node) (names []string) {
	walk(n, func(c *parse.CommandNode) {
		for _, arg := range c.Args {
			if id, ok := arg.(*parse.IdentifierNode); ok && ts.known[id.Ident] != nil {
				names = append(names, id.Ident)
			}
		}
	})
	return names
}

// get hands out a renderer whose draws start from two seeds; put takes it back.
func (ts *templates) get(a, b uint64) *renderer {
	var r *renderer
	select {
	case r = <-ts.idle:
	default:
		if ts.spare.Add(-1) >= 0 {
			r = newRenderer(ts)
		} else {
			r = <-ts.idle // rendering takes microseconds
		}
	}
	r.source.Seed(a, b)
	return r
}

func (ts *templates) put(r *renderer) { ts.idle <- r }

// renderer fills templates in for one hit at a time.
type renderer struct {
	all    *templates
	source rand.PCG
	seq    uint64
	dry    bool // nothing has been captured yet, and a pick takes anything
	vars   map[string]string
	picked map[string]string    // stands over what has been captured
	bound  []*template.Template // the parsed templates with this renderer's functions
	buffer strings.Builder
}

func newRenderer(ts *templates) *renderer { return &renderer{all: ts} }

// render fills one text in.
func (r *renderer) render(t text) (string, error) {
	if !t.made {
		return t.static, nil
	}
	if missing := len(r.all.parsed) - len(r.bound); missing > 0 {
		r.bound = append(r.bound, make([]*template.Template, missing)...)
	}
	if r.bound[t.nth] == nil {
		p := r.all.parsed[t.nth]
		bound, err := template.New("").Option("missingkey=error").Funcs(r.functions(p.calls)).AddParseTree("", p.tree)
		if err != nil {
			return "", err
		}
		r.bound[t.nth] = bound
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

// faker is the type whose methods are gofakeit's functions.
var faker = reflect.TypeFor[*gofakeit.Faker]()

// allFunctions names every function that a template may call: gofakeit's, by
// their own names and with a small first letter, and ours.
func allFunctions() []string {
	names := []string{"seq", "uuid", "pick"}
	for m := range faker.Methods() {
		out := m.Type.NumOut()
		if notForTraffic[m.Name] || out == 0 || out > 1 && !lastIsError(m.Type) {
			continue
		}
		names = append(names, m.Name)
		if small := strings.ToLower(m.Name[:1]) + m.Name[1:]; small != "slice" { // a word of the template language
			names = append(names, small)
		}
	}
	return names
}

// functions are the named functions, bound to this renderer's draws.
func (r *renderer) functions(names []string) template.FuncMap {
	methods := reflect.ValueOf(gofakeit.NewFaker(&r.source, false))
	funcs := make(template.FuncMap, len(names))
	for _, name := range names {
		switch name {
		case "seq":
			funcs[name] = func() uint64 { return r.seq }
		case "uuid":
			funcs[name] = r.uuid
		case "pick":
			funcs[name] = r.pick
		default:
			funcs[name] = methods.MethodByName(strings.ToUpper(name[:1]) + name[1:]).Interface()
		}
	}
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
	if value, ok := r.picked[name]; ok {
		return value, nil
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
	case *parse.ChainNode:
		walk(n.Node, visit)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	}
}
