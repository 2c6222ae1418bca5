package journal

import (
	"crypto/sha256"
	"encoding/hex"
)

// TraceContext is a trace context, such as was sent with a hit: 16 bytes of trace
// id and 8 of span id.
type TraceContext struct {
	Trace [16]byte
	Span  [8]byte
}

// Trace is the trace context of a hit, derived from its request id, so that a
// journal knows what was sent without keeping it. Neither id is all zeros.
func Trace(run, attack string, seq uint64) TraceContext {
	var c TraceContext
	var id [64]byte // longer ones move to the heap
	sum := sha256.Sum256(AppendRequestID(id[:0], run, attack, seq))
	copy(c.Trace[:], sum[:16])
	copy(c.Span[:], sum[16:24])
	c.Trace[15] |= 1
	c.Span[7] |= 1
	return c
}

// Traceparent is the W3C header that carries the context; it asks for sampling.
func (c TraceContext) Traceparent() string {
	text := make([]byte, 0, 55)
	text = append(text, "00-"...)
	text = hex.AppendEncode(text, c.Trace[:])
	text = append(text, '-')
	text = hex.AppendEncode(text, c.Span[:])
	return string(append(text, "-01"...))
}

// ParseTraceparent reads a traceparent header. It is false for what W3C calls
// invalid: another length, upper case, version ff, ids of zeros. Higher
// versions may be longer and are read as version 00.
func ParseTraceparent(header string) (TraceContext, bool) {
	var c TraceContext
	if len(header) < 55 || header[2] != '-' || header[35] != '-' || header[52] != '-' || header[:2] == "ff" ||
		header[:2] == "00" && len(header) > 55 || len(header) > 55 && header[55] != '-' {
		return c, false
	}
	for i, b := range []byte(header[:55]) {
		hyphen := i == 2 || i == 35 || i == 52
		if !hyphen && (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return c, false
		}
	}
	if _, err := hex.Decode(c.Trace[:], []byte(header[3:35])); err != nil {
		return c, false
	}
	if _, err := hex.Decode(c.Span[:], []byte(header[36:52])); err != nil {
		return c, false
	}
	return c, c.Trace != [16]byte{} && c.Span != [8]byte{}
}
