package journal

import (
	"net/http"
	"strings"
	"testing"
)

// What is sent in a format is read back from a call that passes it on.
func TestTraceFormatsGoThereAndBack(t *testing.T) {
	headers := map[TraceFormat]string{
		"": "Traceparent", TraceW3C: "Traceparent", TraceB3: "B3", TraceB3Multi: "X-B3-Spanid", TraceJaeger: "Uber-Trace-Id",
	}
	for f, header := range headers {
		sent := f.Trace("r", "load", 7)
		if whole := Trace("r", "load", 7); sent.Span != whole.Span || [8]byte(sent.Trace[8:]) != [8]byte(whole.Trace[8:]) {
			t.Errorf("%q sends %v for %v", f, sent, whole)
		}
		h := http.Header{}
		trace, span := f.Digits(sent)
		f.Set(h, trace, span)
		var c Call
		c.TakeTrace(h.Get)
		if got, ok := c.TraceContext(f); !ok || got != sent || c.TraceText(f) == "" {
			t.Errorf("%q: %v is read as %v, %v", f, h, got, ok)
		}
		if !strings.Contains(h.Get(header), span) || !strings.Contains(h.Get(f.Header()), trace) {
			t.Errorf("%q is written as %v", f, h)
		}
		if got, ok := c.TraceContext(""); !ok || got != sent {
			t.Errorf("%q is not found without its name", f)
		}
		if run := (Header{Run: "r", TraceFormat: f}); run.HitTrace("load", 7) != sent {
			t.Errorf("%q: the header says %v", f, run.HitTrace("load", 7))
		}
	}
	if len(TraceFormats()) != len(headers)-1 {
		t.Errorf("formats %q", TraceFormats())
	}
}

// The format that was sent goes first, and any other is better than none.
func TestTraceContextOfSeveral(t *testing.T) {
	own, sent := Trace("own", "x", 1), TraceB3.Trace("r", "load", 1)
	trace, span := TraceB3.Digits(sent)
	c := Call{Traceparent: own.Traceparent(), B3: trace + "-" + span}
	if got, _ := c.TraceContext(TraceB3); got != sent {
		t.Errorf("b3 is read as %v", got)
	}
	if got, _ := c.TraceContext(TraceJaeger); got != own {
		t.Errorf("without Jaeger's header %v", got)
	}
	c.Traceparent = "00-zz"
	if got, _ := c.TraceContext(""); got != sent {
		t.Errorf("with a bad traceparent %v", got)
	}
	if _, ok := (Call{B3: "0", UberTraceID: "1"}).TraceContext(""); ok {
		t.Error("no ids are a context")
	}
}

func TestParseB3(t *testing.T) {
	trace, span := strings.Repeat("4b", 8), strings.Repeat("0a", 8)
	for header, want := range map[string]bool{
		trace + "-" + span: true, trace + trace + "-" + span + "-1": true, trace + "-" + span + "-d": true,
		trace + "-" + span + "-0-" + span: true, strings.Repeat("0", 16) + trace + "-" + span: true,
		"": false, "0": false, trace: false, trace + "-": false, trace + "-" + span + "-": false,
		trace + "-" + span + "-x":  false,
		trace + "-" + span + "-1-": false, trace + "-" + span + "-1-" + span + "-1": false, trace[1:] + "-" + span: false,
		trace + "-" + span + "0": false, strings.ToUpper(trace) + "-" + span: false,
		strings.Repeat("0", 32) + "-" + span: false, trace + "-" + strings.Repeat("0", 16): false,
		trace + "-" + span + "-1-" + strings.ToUpper(span): false, strings.Repeat("é", 8) + "-" + span: false,
	} {
		c, ok := ParseB3(header)
		if ok != want || ok && c.Trace[15] != 0x4b {
			t.Errorf("%q is read: %v, %v", header, c, ok)
		}
	}
}

func TestParseJaeger(t *testing.T) {
	trace, span := strings.Repeat("4b", 8), strings.Repeat("0a", 8)
	for header, want := range map[string]bool{
		trace + ":" + span + ":0:1": true, trace + trace + ":" + span + ":" + span + ":03": true, "4b:a:0:0": true,
		strings.ToUpper(trace) + ":" + span + ":0:1": true,
		"": false, trace: false, trace + ":" + span: false, trace + ":" + span + ":0:1:1": false, ":" + span + ":0:1": false,
		trace + "::0:1": false, trace + ":" + span + "::1": false, trace + ":" + span + ":0:": false,
		"0:" + span + ":0:1": false,
		trace + ":0:0:1":     false, trace + ":" + span + ":0:100": false, trace + trace + "0:" + span + ":0:1": false,
		trace + ":" + span + "0:0:1": false, trace + ":" + span + ":0:g": false, trace + "-" + span + "-0-1": false,
		trace + "%3A" + span + "%3A0%3A1": false,
	} {
		c, ok := ParseJaeger(header)
		if ok != want || ok && c.Trace[15] != 0x4b {
			t.Errorf("%q is read: %v, %v", header, c, ok)
		}
	}
}

// FuzzTraceFormats holds what is read of any header: it can be written, and is
// then read as the same.
func FuzzTraceFormats(f *testing.F) {
	for _, format := range TraceFormats() {
		trace, span := TraceFormat(format).Digits(TraceFormat(format).Trace("run", "load", 1))
		h := http.Header{}
		TraceFormat(format).Set(h, trace, span)
		for _, values := range h {
			f.Add(values[0])
		}
	}
	f.Fuzz(func(t *testing.T, header string) {
		for _, name := range TraceFormats() {
			format := TraceFormat(name)
			c, ok := format.parse(header)
			if !ok {
				continue
			}
			if c.Trace == [16]byte{} || c.Span == [8]byte{} {
				t.Errorf("%q is read as ids of zeros", header)
			}
			back, ok := ParseTraceparent(c.Traceparent())
			if !ok || back != c {
				t.Errorf("%q is read as %v and that as %v", header, c, back)
			}
		}
	})
}
