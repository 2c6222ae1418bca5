package report

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Figure writes a value with its unit for people: 1.24s, 99.3 %, 48/s, 12 MiB.
// A value of unit 1 is a percentage when its name says that it is a ratio.
func Figure(name string, value float64, unit string) string {
	switch unit {
	case "s":
		return Seconds(value)
	case "1/s":
		return number(value) + "/s"
	case "bytes":
		return bytesOf(value)
	case "1", "":
		if isRatio(name) {
			return number(100*value) + "%"
		}
		return number(value)
	}
	return number(value) + " " + Clean(unit)
}

func isRatio(name string) bool {
	return strings.Contains(name, "ratio") || strings.Contains(name, "share")
}

// Seconds writes a number of seconds as a duration of three figures.
func Seconds(s float64) string {
	if math.IsNaN(s) || math.IsInf(s, 0) || math.Abs(s) > 1e9 {
		return number(s) + "s"
	}
	return Span(time.Duration(s * float64(time.Second)))
}

// Span writes a duration with about three figures: 850µs, 12.3ms, 1.24s, 3m12s.
func Span(d time.Duration) string {
	abs := d.Abs()
	switch {
	case abs >= time.Minute:
		return d.Round(time.Second).String()
	case abs >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case abs >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case abs >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case abs >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e9 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

func bytesOf(v float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if math.Abs(v) >= u.size {
			return strconv.FormatFloat(v/u.size, 'f', 1, 64) + " " + u.name
		}
	}
	return number(v) + " B"
}

// quantity is one quantity as the reports show it.
type quantity struct {
	Name, Value, Bound string
	Broken             bool // outside of its bound
	Samples            int
}

func quantities(qs []journal.Quantity) []quantity {
	out := make([]quantity, 0, len(qs))
	for _, q := range qs {
		shown := quantity{Name: Clean(q.Name), Value: Figure(q.Name, q.Value, q.Unit), Samples: q.Samples}
		if q.Bound != nil {
			shown.Bound = relation(q.Op) + " " + Figure(q.Name, *q.Bound, q.Unit)
			shown.Broken = !q.Holds()
		}
		out = append(out, shown)
	}
	return out
}

func relation(op string) string {
	switch op {
	case "<=":
		return "≤"
	case ">=":
		return "≥"
	case "==":
		return "="
	}
	return Clean(op)
}

func (q quantity) String() string {
	s := q.Name + " " + q.Value
	if q.Bound != "" {
		s += " (bound " + q.Bound + ")"
	}
	if q.Samples > 0 {
		s += " of " + strconv.Itoa(q.Samples)
	}
	return s
}
