package telemetry

import (
	"net/http"
	"strings"
	"testing"
)

func TestNewScope(t *testing.T) {
	trace, span := strings.Repeat("a", 32), strings.Repeat("b", 16)
	for name, c := range map[string]struct {
		id, parent      string
		keepID, keepAll bool
	}{
		"both":          {"req-1", "00-" + trace + "-" + span + "-00", true, true},
		"none":          {"", "", false, false},
		"hostile id":    {"a\nb", "00-" + trace + "-" + span + "-00", false, true},
		"long id":       {strings.Repeat("a", 65), "", false, false},
		"zero trace":    {"req-1", "00-" + strings.Repeat("0", 32) + "-" + span + "-01", true, false},
		"zero span":     {"req-1", "00-" + trace + "-" + strings.Repeat("0", 16) + "-01", true, false},
		"version ff":    {"req-1", "ff-" + trace + "-" + span + "-01", true, false},
		"capital trace": {"req-1", "00-" + strings.ToUpper(trace) + "-" + span + "-01", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewScope(http.Header{"X-Request-Id": {c.id}, "Traceparent": {c.parent}})
			if (s.RequestID == c.id) != c.keepID || !requestID.MatchString(s.RequestID) {
				t.Errorf("request id %q from %q", s.RequestID, c.id)
			}
			if (s.TraceID == trace) != c.keepAll || s.SpanID == span {
				t.Errorf("trace id %q, span id %q from %q", s.TraceID, s.SpanID, c.parent)
			}
			first, second := s.Traceparent(), s.Traceparent()
			if !traceparent.MatchString(first) || !strings.HasPrefix(first, "00-"+s.TraceID) || first == second {
				t.Errorf("outgoing %q, then %q", first, second)
			}
		})
	}
}
