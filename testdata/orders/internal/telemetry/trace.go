// Package telemetry holds what the whole service uses to be seen: logs,
// metrics, request ids and trace contexts.
package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
)

// Scope ties together everything done for one request.
type Scope struct {
	RequestID string
	TraceID   string // 32 hex digits, W3C trace context
	SpanID    string // 16 hex digits: this service's part
	Flags     string // 2 hex digits
}

var (
	requestID   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	traceparent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$`)
	never       = "ff" // a version that W3C forbids
)

// NewScope takes the ids of a request, and makes new ones for what is missing
// or not well formed.
func NewScope(h http.Header) Scope {
	s := Scope{RequestID: h.Get("X-Request-Id"), SpanID: randomHex(8), Flags: "01"}
	if !requestID.MatchString(s.RequestID) {
		s.RequestID = strings.ToLower(rand.Text())
	}
	given := h.Get("Traceparent")
	m := traceparent.FindStringSubmatch(given)
	if m == nil || strings.HasPrefix(given, never) || m[1] == strings.Repeat("0", 32) || m[2] == strings.Repeat("0", 16) {
		s.TraceID = randomHex(16)
		return s
	}
	s.TraceID, s.Flags = m[1], m[3]
	return s
}

// Traceparent is the header for one outgoing attempt, with a span id of its
// own.
func (s Scope) Traceparent() string {
	return "00-" + s.TraceID + "-" + randomHex(8) + "-" + s.Flags
}

type scopeKey struct{}

// WithScope returns a context that carries s.
func WithScope(ctx context.Context, s Scope) context.Context {
	return context.WithValue(ctx, scopeKey{}, s)
}

// ScopeOf returns the scope that ctx carries.
func ScopeOf(ctx context.Context) (Scope, bool) {
	s, ok := ctx.Value(scopeKey{}).(Scope)
	return s, ok
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
