package experiments

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/yamlfile"
)

// evaluate works an expression on promises out: "${answers_within}",
// "${times 2 answers_within}", "${plus (times 0.5 answers_within) 1s}". The
// functions are times, plus, minus, min and max; their arguments are promises,
// numbers, durations and expressions in parentheses.
func evaluate(text string, promises journal.Promises) (string, error) {
	inner := strings.TrimSuffix(strings.TrimPrefix(text, "${"), "}")
	e := &expression{words: words(inner), promises: promises}
	v, err := e.call()
	if err == nil && len(e.words) > 0 {
		err = fmt.Errorf("%q is left over", strings.Join(e.words, " "))
	}
	if err != nil {
		return "", fmt.Errorf("expression %s: %w", text, err)
	}
	if v.number < 0 {
		return "", fmt.Errorf("expression %s: the result is below zero", text)
	}
	return v.text(), nil
}

func words(s string) []string {
	s = strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s)
	return strings.Fields(s)
}

// amount is a number, or a duration in nanoseconds.
type amount struct {
	number   float64
	duration bool
}

func (a amount) text() string {
	if a.duration {
		return time.Duration(a.number).String()
	}
	return strconv.FormatFloat(a.number, 'f', -1, 64)
}

type expression struct {
	words    []string
	promises journal.Promises
	depth    int
}

var functions = []string{"times", "plus", "minus", "min", "max"}

func (e *expression) next() (string, error) {
	if len(e.words) == 0 {
		return "", errors.New("it ends too early")
	}
	w := e.words[0]
	e.words = e.words[1:]
	return w, nil
}

// call is a function with two arguments, or a single argument.
func (e *expression) call() (amount, error) {
	if e.depth++; e.depth > 16 {
		return amount{}, errors.New("it is nested too deeply")
	}
	defer func() { e.depth-- }()
	if len(e.words) == 0 || !slices.Contains(functions, e.words[0]) {
		return e.argument()
	}
	f, err := e.next()
	if err != nil {
		return amount{}, err
	}
	a, err := e.argument()
	if err != nil {
		return amount{}, err
	}
	b, err := e.argument()
	if err != nil {
		return amount{}, err
	}
	return apply(f, a, b)
}

func apply(f string, a, b amount) (amount, error) {
	if f == "times" {
		if a.duration && b.duration {
			return amount{}, errors.New("times of two durations")
		}
		return amount{a.number * b.number, a.duration || b.duration}, nil
	}
	if a.duration != b.duration {
		return amount{}, fmt.Errorf("%s of a number and a duration", f)
	}
	switch f {
	case "plus":
		a.number += b.number
	case "minus":
		a.number -= b.number
	case "min":
		a.number = min(a.number, b.number)
	case "max":
		a.number = max(a.number, b.number)
	}
	return a, nil
}

func (e *expression) argument() (amount, error) {
	w, err := e.next()
	if err != nil {
		return amount{}, err
	}
	if w == "(" {
		return e.parenthesis()
	}
	if d, err := time.ParseDuration(w); err == nil && w != "0" {
		return amount{float64(d), true}, nil
	}
	if f, err := strconv.ParseFloat(w, 64); err == nil && f >= 0 && f < 1e18 {
		return amount{f, false}, nil
	}
	return e.promise(w)
}

func (e *expression) parenthesis() (amount, error) {
	v, err := e.call()
	if err != nil {
		return amount{}, err
	}
	if w, err := e.next(); err != nil || w != ")" {
		return amount{}, errors.New("a parenthesis is not closed")
	}
	return v, nil
}

func (e *expression) promise(name string) (amount, error) {
	v := reflect.ValueOf(e.promises)
	var known []string
	for _, f := range yamlfile.Fields(v.Type()) {
		p := v.FieldByIndex(f.Index)
		if p.Kind() == reflect.String {
			continue
		}
		if f.Name != name {
			known = append(known, f.Name)
			continue
		}
		if p.CanFloat() {
			return amount{p.Float(), false}, nil
		}
		return amount{float64(p.Int()), f.Type == reflect.TypeFor[time.Duration]()}, nil
	}
	return amount{}, fmt.Errorf("nothing is called %q; there are the promises %s, and the functions %s",
		name, yamlfile.Nearest(name, known), strings.Join(functions, ", "))
}
