package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Document is a parsed file on its way into Go values. Paths name places in it,
// such as "traffic.requests[2].uses[0]".
type Document struct {
	// Name is what mistakes call the file.
	Name string
	// Required lists the keys that a struct of a type must have.
	Required map[reflect.Type][]string
	// Hooks decode values of a type in place of the rules for its kind.
	Hooks map[reflect.Type]func(at string, n ast.Node, into reflect.Value)
	// Scalar, when set, is asked for the text that stands for a scalar written
	// like ${…}, before it is decoded as something other than a text.
	Scalar func(at, text string) (string, error)

	root     ast.Node
	lines    []string
	anchors  map[string]ast.Node
	places   map[string]ast.Node
	mistakes Mistakes
	visited  int
	depth    int
}

// Limits against files made to exhaust memory.
const (
	maxBytes = 4 << 20
	maxNodes = 100_000
	maxDepth = 64
)

// Parse reads the bytes as one YAML document. The error is a [Mistakes].
func Parse(name string, b []byte) (*Document, error) {
	b = bytes.TrimPrefix(b, []byte("\uFEFF")) // some editors' mark of UTF-8
	d := &Document{
		Name: name, lines: strings.Split(string(b), "\n"),
		anchors: map[string]ast.Node{}, places: map[string]ast.Node{},
	}
	if len(b) > maxBytes {
		return nil, d.fail(1, 1, "the file is larger than 4 MiB", "")
	}
	file, err := parse(b)
	if err != nil {
		return nil, d.syntax(err)
	}
	docs := file.Docs
	for len(docs) > 0 && docs[len(docs)-1].Body == nil {
		docs = docs[:len(docs)-1]
	}
	switch {
	case len(docs) == 0:
		return nil, d.fail(1, 1, "the file is empty", "a mapping with a version")
	case len(docs) > 1:
		at := position(docs[1].Body)
		return nil, d.fail(at.Line, at.Column, "a second document in the file", "one document")
	}
	d.root = docs[0].Body
	ast.Walk(anchorVisitor(d.anchors), d.root)
	return d, nil
}

// parse also turns a panic of the YAML library on odd input into an error.
func parse(b []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the YAML parser gave up: %v", r)
		}
	}()
	return parser.ParseBytes(b, 0, parser.AllowDuplicateMapKey())
}

type anchorVisitor map[string]ast.Node

// Visit notes an anchor.
func (v anchorVisitor) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil {
		v[a.Name.GetToken().Value] = a.Value
	}
	return v
}

func (d *Document) syntax(err error) error {
	var s yaml.Error
	if !errors.As(err, &s) || s.GetToken() == nil || s.GetToken().Position == nil {
		return d.fail(1, 1, "not YAML: "+firstLine(err.Error()), "")
	}
	at := s.GetToken().Position
	return d.fail(at.Line, at.Column, "not YAML: "+firstLine(s.GetMessage()), "")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func (d *Document) fail(line, column int, problem, expected string) error {
	return Mistakes{d.mistake(line, column, problem, expected)}
}

func (d *Document) mistake(line, column int, problem, expected string) *Mistake {
	m := &Mistake{File: d.Name, Line: line, Column: column, Problem: clip(problem, maxProblem), Expected: expected}
	if line >= 1 && line <= len(d.lines) {
		m.Source = clip(hidePasswords(strings.TrimRight(d.lines[line-1], " \r")), max(maxSource, column))
	}
	return m
}

// How many characters of a problem, which may quote the file, and of a line are
// told.
const (
	maxProblem = 300
	maxSource  = 160
)

// clip cuts a text after n runes.
func clip(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n]) + "…"
}

// Mistake takes down a mistake at the place that a path names, or at the
// nearest place around it that the file has.
func (d *Document) Mistake(at, problem, expected string) {
	d.mistakeNode(d.nearest(at), problem, expected)
}

func (d *Document) mistakeNode(n ast.Node, problem, expected string) {
	line, column := 1, 1
	if p := position(n); p != nil {
		line, column = max(1, p.Line), max(1, p.Column)
	}
	d.mistakes = append(d.mistakes, d.mistake(line, column, problem, expected))
}

func (d *Document) nearest(at string) ast.Node {
	for at != "" {
		if n, ok := d.places[at]; ok {
			return n
		}
		cut := max(strings.LastIndexByte(at, '.'), strings.LastIndexByte(at, '['))
		if cut < 0 {
			break
		}
		at = at[:cut]
	}
	return d.root
}

// Has reports whether the file has something at the path.
func (d *Document) Has(at string) bool {
	_, ok := d.places[at]
	return ok
}

// Err is all mistakes found so far as [Mistakes], nil when there are none.
func (d *Document) Err() error {
	if len(d.mistakes) == 0 {
		return nil
	}
	return d.mistakes.sorted()
}

// Count is how many mistakes have been taken down so far.
func (d *Document) Count() int { return len(d.mistakes) }

// position is where a node begins. A mapping begins at its first key.
func position(n ast.Node) *token.Position {
	switch n := n.(type) {
	case nil:
		return nil
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return position(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return position(n.Key)
	case *ast.LiteralNode:
		if n.Start != nil {
			return n.Start.Position
		}
	}
	if t := n.GetToken(); t != nil {
		return t.Position
	}
	return nil
}
