package yamlfile

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Decode decodes the whole document into the value that the pointer points to.
// Keys that the file does not have leave their fields as they are. What was
// wrong is told by [Document.Err].
func (d *Document) Decode(into any) {
	if _, ok := d.root.(*ast.MappingNode); !ok {
		d.mistakeNode(d.root, "the file holds "+describe(d.root), "a mapping of keys to values")
		return
	}
	d.Node("", d.root, reflect.ValueOf(into).Elem())
}

// Node decodes one node, found at the given path, into a settable value.
func (d *Document) Node(at string, n ast.Node, into reflect.Value) {
	d.visited++
	d.depth++
	defer func() { d.depth-- }()
	n = d.Resolve(n)
	if d.visited > maxNodes || d.depth > maxDepth {
		if d.visited <= maxNodes+1 {
			d.mistakeNode(n, "the file is nested too deeply or unfolds into too much", "")
		}
		return
	}
	if hook, ok := d.Hooks[into.Type()]; ok {
		hook(at, n, into)
		return
	}
	if into.Kind() == reflect.Pointer {
		d.pointer(at, n, into)
		return
	}
	if d.special(at, n, into) {
		return
	}
	d.kind(at, n, into)
}

// Resolve follows aliases, anchors and tags to the node that holds the value.
func (d *Document) Resolve(n ast.Node) ast.Node {
	for range maxDepth {
		switch t := n.(type) {
		case *ast.AnchorNode:
			n = t.Value
		case *ast.TagNode:
			n = t.Value
		case *ast.AliasNode:
			target, ok := d.anchors[t.Value.GetToken().Value]
			if !ok {
				d.mistakeNode(t, "no anchor is called "+strconv.Quote(t.Value.GetToken().Value), "")
				return nil
			}
			n = target
		case *ast.MappingValueNode:
			m := ast.Mapping(t.GetToken(), false, t)
			return m
		default:
			return n
		}
	}
	return nil
}

func (d *Document) pointer(at string, n ast.Node, into reflect.Value) {
	if isNull(n) {
		into.SetZero()
		return
	}
	fresh := reflect.New(into.Type().Elem())
	d.Node(at, n, fresh.Elem())
	into.Set(fresh)
}

var (
	durationType    = reflect.TypeFor[time.Duration]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (d *Document) special(at string, n ast.Node, into reflect.Value) bool {
	switch {
	case into.Type() == durationType:
		d.duration(at, n, into)
		return true
	case reflect.PointerTo(into.Type()).Implements(unmarshalerType):
		text, ok := d.text(at, n)
		if !ok {
			d.wrong(n, "a text")
			return true
		}
		if err := into.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			d.mistakeNode(n, err.Error(), "")
		}
		return true
	}
	return false
}

func (d *Document) kind(at string, n ast.Node, into reflect.Value) {
	switch into.Kind() {
	case reflect.Struct:
		d.structure(at, n, into)
	case reflect.Map:
		d.mapping(at, n, into)
	case reflect.Slice:
		d.sequence(at, n, into)
	case reflect.String:
		if s, ok := scalarText(n); ok {
			into.SetString(s)
			return
		}
		d.wrong(n, "a text")
	case reflect.Bool:
		d.boolean(at, n, into)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.integer(at, n, into)
	case reflect.Float32, reflect.Float64:
		d.float(at, n, into)
	default:
		panic(fmt.Sprintf("yamlfile: %s cannot be read from a file", into.Type()))
	}
}

// Entries are the keys and values of a mapping, merged ones included; its own
// keys go before merged ones. It takes down duplicate and odd keys, and reports
// false when the node is no mapping.
func (d *Document) Entries(at string, n ast.Node) ([]Entry, bool) {
	m, ok := d.Resolve(n).(*ast.MappingNode)
	if !ok {
		return nil, false
	}
	var own, merged []Entry
	for _, v := range m.Values {
		if _, is := v.Key.(*ast.MergeKeyNode); is {
			d.depth++
			if d.depth < maxDepth {
				more, _ := d.Entries(at, v.Value)
				merged = append(merged, more...)
			}
			d.depth--
			continue
		}
		key, ok := scalarText(v.Key)
		if !ok {
			d.mistakeNode(v.Key, "a key that is no text", "a name")
			continue
		}
		if slices.ContainsFunc(own, func(e Entry) bool { return e.Key == key }) {
			d.mistakeNode(v.Key, "duplicate key "+strconv.Quote(key), "each key once")
			continue
		}
		own = append(own, Entry{Key: key, KeyNode: v.Key, Value: v.Value})
	}
	for _, e := range merged {
		if !slices.ContainsFunc(own, func(o Entry) bool { return o.Key == e.Key }) {
			own = append(own, e)
		}
	}
	return own, true
}

// Entry is one key of a mapping with its value.
type Entry struct {
	Key     string
	KeyNode ast.Node
	Value   ast.Node
}

// Place remembers where a path lies in the file, for [Document.Mistake]. Values
// that are written on the key's own line are told by themselves, others by
// their key.
func (d *Document) Place(at string, key, value ast.Node) {
	k, v := position(key), position(value)
	if k != nil && (v == nil || v.Line != k.Line) {
		d.places[at] = key
		return
	}
	d.places[at] = value
}

// MistakeAt takes down a mistake at a node.
func (d *Document) MistakeAt(n ast.Node, problem, expected string) {
	d.mistakeNode(n, problem, expected)
}

// Join makes the path of a key in the mapping at the given path.
func Join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

// Index makes the path of an element of the sequence at the given path.
func Index(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }

func (d *Document) structure(at string, n ast.Node, into reflect.Value) {
	fields := Fields(into.Type())
	entries, ok := d.Entries(at, n)
	if !ok && !isNull(n) {
		d.wrong(n, "a mapping with the keys "+strings.Join(names(fields), ", "))
		return
	}
	seen := map[string]bool{}
	for _, e := range entries {
		f, ok := fieldNamed(fields, e.Key)
		if !ok {
			d.mistakeNode(e.KeyNode, "unknown key "+strconv.Quote(e.Key), Nearest(e.Key, names(fields)))
			continue
		}
		seen[e.Key] = true
		path := Join(at, e.Key)
		d.Place(path, e.KeyNode, e.Value)
		d.Node(path, e.Value, into.FieldByIndex(f.Index))
	}
	for _, name := range d.Required[into.Type()] {
		if !seen[name] {
			d.Mistake(at, "missing "+name+where(at), "a key "+name)
		}
	}
}

func where(at string) string {
	if at == "" {
		return ""
	}
	return " in " + at
}

func (d *Document) mapping(at string, n ast.Node, into reflect.Value) {
	if isNull(n) {
		return
	}
	entries, ok := d.Entries(at, n)
	if !ok {
		d.wrong(n, "a mapping")
		return
	}
	m := reflect.MakeMapWithSize(into.Type(), len(entries))
	for _, e := range entries {
		path := Join(at, e.Key)
		d.Place(path, e.KeyNode, e.Value)
		v := reflect.New(into.Type().Elem()).Elem()
		d.Node(path, e.Value, v)
		m.SetMapIndex(reflect.ValueOf(e.Key).Convert(into.Type().Key()), v)
	}
	into.Set(m)
}

func (d *Document) sequence(at string, n ast.Node, into reflect.Value) {
	if isNull(n) {
		return
	}
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrong(n, "a list")
		return
	}
	list := reflect.MakeSlice(into.Type(), len(s.Values), len(s.Values))
	for i, v := range s.Values {
		path := Index(at, i)
		d.places[path] = v
		d.Node(path, v, list.Index(i))
	}
	into.Set(list)
}

// text is a scalar's text, after [Document.Scalar] had its say.
func (d *Document) text(at string, n ast.Node) (string, bool) {
	s, ok := scalarText(n)
	if !ok {
		return "", false
	}
	if d.Scalar == nil || !strings.HasPrefix(s, "${") || !strings.HasSuffix(s, "}") {
		return s, true
	}
	t, err := d.Scalar(at, s)
	if err != nil {
		d.mistakeNode(n, err.Error(), "")
		return "", false
	}
	return t, true
}

func (d *Document) duration(at string, n ast.Node, into reflect.Value) {
	const expected = "a duration such as 250ms, 2s or 1m30s"
	text, ok := d.scalar(at, n, expected)
	if !ok {
		return
	}
	if text == "0" {
		into.SetInt(0)
		return
	}
	v, err := time.ParseDuration(text)
	switch {
	case err != nil:
		d.mistakeNode(n, "bad duration "+strconv.Quote(text), expected)
	case v < 0:
		d.mistakeNode(n, "a duration below zero", expected)
	default:
		into.SetInt(int64(v))
	}
}

// scalar is the text of a scalar; anything else is taken down as a mistake.
func (d *Document) scalar(at string, n ast.Node, expected string) (string, bool) {
	if _, is := scalarText(n); !is {
		d.wrong(n, expected)
		return "", false
	}
	return d.text(at, n)
}

func (d *Document) boolean(at string, n ast.Node, into reflect.Value) {
	text, ok := d.scalar(at, n, "true or false")
	switch {
	case !ok:
	case text == "true" || text == "false":
		into.SetBool(text == "true")
	default:
		d.wrong(n, "true or false")
	}
}

func (d *Document) integer(at string, n ast.Node, into reflect.Value) {
	const expected = "a whole number"
	text, ok := d.scalar(at, n, expected)
	if !ok {
		return
	}
	if into.CanUint() {
		u, err := strconv.ParseUint(text, 0, into.Type().Bits())
		if err != nil {
			d.wrong(n, expected+", not below zero")
			return
		}
		into.SetUint(u)
		return
	}
	i, err := strconv.ParseInt(text, 0, into.Type().Bits())
	if err != nil {
		d.wrong(n, expected)
		return
	}
	into.SetInt(i)
}

var number = regexp.MustCompile(`^[-+]?[0-9][0-9_]*(\.[0-9]*)?([eE][-+]?[0-9]+)?$|^[-+]?\.[0-9]+$`)

func (d *Document) float(at string, n ast.Node, into reflect.Value) {
	const expected = "a number"
	text, ok := d.scalar(at, n, expected)
	if !ok {
		return
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	if err != nil || !number.MatchString(text) || math.IsInf(f, 0) {
		d.wrong(n, expected)
		return
	}
	into.SetFloat(f)
}

// wrong takes down that a node is not of the expected sort.
func (d *Document) wrong(n ast.Node, expected string) {
	d.mistakeNode(n, "found "+describe(n), expected)
}

func describe(n ast.Node) string {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	default:
		if s, ok := scalarText(n); ok {
			return strconv.Quote(s)
		}
		return "a " + strings.ToLower(n.Type().String())
	}
}

func isNull(n ast.Node) bool {
	_, is := n.(*ast.NullNode)
	return is || n == nil
}

// scalarText is the text of a scalar as it was written, without quotes.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	case *ast.MappingKeyNode:
		return scalarText(n.Value)
	}
	return "", false
}
