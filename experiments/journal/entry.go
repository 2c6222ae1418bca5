package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
)

// Body is what one kind of entry says. Its kinds are the structs of this
// package; each names itself, and its name is what is written to disk.
type Body interface{ Kind() string }

// Entry is one thing that was seen, at one instant, about one thing.
type Entry struct {
	At   Instant // when, on the runner's clock
	On   string  // what it is about: a dependency, a replica, a step; may be empty
	Body Body
}

// wire is an entry's form on disk: one JSON object a line.
type wire struct {
	At   Instant         `json:"t"`
	Kind string          `json:"kind"`
	On   string          `json:"on,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
}

// Unknown is an entry whose kind this version does not know. It is kept as it
// was read, and written back the same.
type Unknown struct {
	Name string
	Data json.RawMessage
}

// Kind returns the kind as it was read.
func (u Unknown) Kind() string { return u.Name }

// MarshalJSON writes the entry as one object: t, kind, on and data.
func (e Entry) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil) }

// appender is a body that is written without reflection.
type appender interface{ appendJSON(b []byte) []byte }

// AppendJSON appends to b what [Entry.MarshalJSON] writes. After an error the
// bytes are those of b.
func (e Entry) AppendJSON(b []byte) ([]byte, error) {
	if e.Body == nil {
		return b, fmt.Errorf("journal: an entry at %v about %q has no body", e.At, e.On)
	}
	out := append(b, `{"t":`...)
	out = strconv.AppendInt(out, int64(e.At), 10)
	out = appendString(append(out, `,"kind":`...), e.Body.Kind())
	out = append(appendText(out, "on", e.On), `,"data":`...)
	switch body := e.Body.(type) {
	case appender:
		return append(body.appendJSON(out), '}'), nil
	case Unknown:
		return e.appendUnknown(b, body)
	default:
		data, err := json.Marshal(body)
		if err != nil {
			return b, fmt.Errorf("journal: write a %s entry: %w", body.Kind(), err)
		}
		return append(append(out, data...), '}'), nil
	}
}

func (e Entry) appendUnknown(b []byte, u Unknown) ([]byte, error) {
	line, err := json.Marshal(wire{At: e.At, Kind: u.Name, On: e.On, Data: u.Data})
	if err != nil {
		return b, fmt.Errorf("journal: write a %s entry: %w", u.Name, err)
	}
	return append(b, line...), nil
}

// UnmarshalJSON reads what [Entry.MarshalJSON] wrote.
func (e *Entry) UnmarshalJSON(b []byte) error {
	if e.scan(b) {
		return nil
	}
	var w wire
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	if w.Kind == "" {
		return fmt.Errorf("journal: an entry has no kind")
	}
	e.At, e.On = w.At, w.On
	decode, ok := kinds[w.Kind]
	if !ok {
		e.Body = Unknown{Name: w.Kind, Data: bytes.Clone(w.Data)}
		return nil
	}
	body, err := decode(w.Data)
	if err != nil {
		return fmt.Errorf("journal: read a %s entry: %w", w.Kind, err)
	}
	e.Body = body
	return nil
}

// scan reads an entry in the form in which it was written; false, and nothing
// has been read, where it is in another, or of no known kind.
func (e *Entry) scan(b []byte) bool {
	in := scanner{rest: b, ok: true}
	in.skip(`{"t":`)
	at := Instant(in.int())
	in.skip(`,"kind":`)
	decode := kinds[in.text()]
	on := in.optionalText(`,"on":`)
	in.skip(`,"data":`)
	if !in.ok || decode == nil || len(in.rest) < 2 || in.rest[len(in.rest)-1] != '}' {
		return false
	}
	body, err := decode(in.rest[:len(in.rest)-1])
	if err != nil {
		return false
	}
	*e = Entry{At: at, On: on, Body: body}
	return true
}

var kinds = map[string]func(json.RawMessage) (Body, error){}

// register makes a kind of entry readable. T is a struct, not a pointer.
func register[T Body]() struct{} {
	var zero T
	name := zero.Kind()
	if _, twice := kinds[name]; twice {
		panic("journal: kind " + name + " is registered twice")
	}
	kinds[name] = func(data json.RawMessage) (Body, error) {
		var v T
		if len(data) == 0 {
			return v, nil
		}
		if quick, ok := any(&v).(interface{ scanJSON(data []byte) bool }); ok && quick.scanJSON(data) {
			return v, nil
		}
		v = zero // of what was scanned
		err := json.Unmarshal(data, &v)
		return v, err
	}
	return struct{}{}
}

// Kinds lists the kinds of entries this version knows, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Of yields the journal's entries of one kind with their bodies, in the order
// in which they were recorded:
//
//	for e, call := range journal.Of[journal.Call](j) { … }
func Of[T Body](j Journal) iter.Seq2[Entry, T] {
	var zero T
	return func(yield func(Entry, T) bool) {
		for e := range j.Entries(zero.Kind()) {
			body, ok := e.Body.(T)
			if ok && !yield(e, body) {
				return
			}
		}
	}
}
