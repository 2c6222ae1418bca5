package journal

import (
	"encoding/hex"
	"slices"
	"strings"
)

// TraceFormat is a form in which headers carry a trace context, by its name in
// OpenTelemetry's OTEL_PROPAGATORS. The zero value is TraceW3C.
type TraceFormat string

// The formats that are sent and read, with their sources. The ids of all but
// W3C's are sent with 64 bits, as some readers keep no more of them, and read with
// up to 128.
const (
	TraceW3C     TraceFormat = "tracecontext" // traceparent: W3C Trace Context
	TraceB3      TraceFormat = "b3"           // b3, in one header: openzipkin/b3-propagation
	TraceB3Multi TraceFormat = "b3multi"      // X-B3-TraceId and so on: the same
	TraceJaeger  TraceFormat = "jaeger"       // uber-trace-id: Jaeger's client libraries, propagation format
)

// TraceFormats are the names of all formats.
func TraceFormats() []string {
	return []string{string(TraceW3C), string(TraceB3), string(TraceB3Multi), string(TraceJaeger)}
}

// Header names the header that carries the trace id.
func (f TraceFormat) Header() string {
	switch f {
	case TraceB3:
		return "b3"
	case TraceB3Multi:
		return "X-B3-TraceId"
	case TraceJaeger:
		return "uber-trace-id"
	}
	return "traceparent"
}

// Trace is the context that is sent with a hit: [Trace], of whose trace id the
// first half is zero in all formats but W3C's.
func (f TraceFormat) Trace(run, attack string, seq uint64) TraceContext {
	c := Trace(run, attack, seq)
	if f.short() {
		clear(c.Trace[:8])
	}
	return c
}

func (f TraceFormat) short() bool { return f != "" && f != TraceW3C }

// Digits are a context's ids as the format writes them.
func (f TraceFormat) Digits(c TraceContext) (trace, span string) {
	trace = hex.EncodeToString(c.Trace[:])
	if f.short() {
		trace = trace[16:]
	}
	return trace, hex.EncodeToString(c.Span[:])
}

// Set puts ids into headers, whether they are valid or not, and asks for
// sampling.
func (f TraceFormat) Set(header map[string][]string, trace, span string) {
	switch f {
	case TraceB3:
		header["B3"] = []string{trace + "-" + span + "-1"}
	case TraceB3Multi:
		header["X-B3-Traceid"], header["X-B3-Spanid"] = []string{trace}, []string{span}
		header["X-B3-Sampled"] = []string{"1"}
	case TraceJaeger:
		header["Uber-Trace-Id"] = []string{trace + ":" + span + ":0:1"}
	default:
		header["Traceparent"] = []string{"00-" + trace + "-" + span + "-01"}
	}
}

// HitTrace is the context that was sent with a hit of the run.
func (h *Header) HitTrace(attack string, seq uint64) TraceContext {
	return h.TraceFormat.Trace(h.Run, attack, seq)
}

// TakeTrace takes down what the headers of a call say of a trace; get returns a
// header's value, or nothing.
func (c *Call) TakeTrace(get func(name string) string) {
	c.Traceparent, c.B3, c.UberTraceID = get("Traceparent"), get("B3"), get("Uber-Trace-Id")
	if trace := get("X-B3-Traceid"); c.B3 == "" && trace != "" {
		c.B3 = trace + "-" + get("X-B3-Spanid")
	}
}

// TraceText is what the call carries in a format, as it came.
func (c Call) TraceText(f TraceFormat) string {
	switch f {
	case TraceB3, TraceB3Multi:
		return c.B3
	case TraceJaeger:
		return c.UberTraceID
	}
	return c.Traceparent
}

// TraceContext is the context that the call carries in the first format in which
// it carries a valid one: the given format goes before W3C's, B3 and Jaeger's.
func (c Call) TraceContext(first TraceFormat) (TraceContext, bool) {
	for _, f := range [...]TraceFormat{first, TraceW3C, TraceB3, TraceJaeger} {
		if context, ok := f.parse(c.TraceText(f)); ok {
			return context, true
		}
	}
	return TraceContext{}, false
}

func (f TraceFormat) parse(text string) (TraceContext, bool) {
	switch {
	case text == "":
		return TraceContext{}, false
	case f == TraceB3 || f == TraceB3Multi:
		return ParseB3(text)
	case f == TraceJaeger:
		return ParseJaeger(text)
	}
	return ParseTraceparent(text)
}

// ParseB3 reads a b3 header: trace id of 16 or 32 digits, span id, and optionally
// the decision on sampling and the parent's span id, with hyphens between. It is
// false where there is a decision alone, and for ids of zeros.
func ParseB3(header string) (TraceContext, bool) {
	parts := strings.Split(header, "-")
	if len(parts) < 2 || len(parts) > 4 || len(parts[0]) != 16 && len(parts[0]) != 32 || len(parts[1]) != 16 ||
		len(parts) > 2 && !slices.Contains([]string{"0", "1", "d"}, parts[2]) ||
		len(parts) > 3 && (len(parts[3]) != 16 || !lowerHex(parts[3])) || !lowerHex(parts[0]+parts[1]) {
		return TraceContext{}, false
	}
	return contextOf(parts[0], parts[1])
}

// ParseJaeger reads an uber-trace-id header: trace id, span id, parent's span id
// and flags, with colons between. Ids may be shorter than 32 and 16 digits, as
// zeros before them may be left out, and are not zero; the parent's, which is no
// longer in use, may be.
func ParseJaeger(header string) (TraceContext, bool) {
	parts := strings.Split(header, ":")
	if len(parts) != 4 {
		return TraceContext{}, false
	}
	for i, most := range []int{32, 16, 16, 2} {
		if parts[i] == "" || len(parts[i]) > most || !lowerHex(strings.ToLower(parts[i])) {
			return TraceContext{}, false
		}
	}
	return contextOf(parts[0], parts[1])
}

func lowerHex(text string) bool { return strings.Trim(text, "0123456789abcdef") == "" }

// contextOf reads hexadecimal digits that may lack zeros before them.
func contextOf(trace, span string) (c TraceContext, ok bool) {
	for _, id := range []struct {
		digits string
		to     []byte
	}{{trace, c.Trace[:]}, {span, c.Span[:]}} {
		padded := strings.Repeat("0", 2*len(id.to)-len(id.digits)) + id.digits
		if _, err := hex.Decode(id.to, []byte(padded)); err != nil {
			return c, false
		}
	}
	return c, c.Trace != [16]byte{} && c.Span != [8]byte{}
}
