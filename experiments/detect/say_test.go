package detect

import "testing"

func TestSay(t *testing.T) {
	for _, tt := range []struct {
		want, format string
		args         []any
	}{
		{"2 requests were sent", "%d requests were sent", []any{2}},
		{"1 request was sent", "%d requests were sent", []any{1}},
		{"only 1 key was tried, and 190 are needed", "only %d keys were tried, and %d are needed", []any{1, 190}},
		{"only 0 keys were tried, and 1 is needed", "only %d keys were tried, and %d are needed", []any{0, 1}},
		{"1 of 20 requests were late", "%d of %d requests were late", []any{1, 20}},
		{"3 of 1 request was late", "%d of %d requests were late", []any{3, 1}},
		{"1 of them was late", "%d of them were late", []any{1}},
		{"1 failed logical call is needed", "%d failed logical calls are needed", []any{1}},
		{"1 request that uses db was sent in 1 step", "%d requests that use %s were sent in %d steps", []any{1, "db", 1}},
		{"1 body was refused; others were not", "%d bodies were refused; others were not", []any{1}},
		{"1 answer names it, and they are good", "%d answers name it, and they are good", []any{1}},
		{"of 1 sample 50 % is", "of %s samples 50 %% are", []any{"1"}},
		{"1 write that was refused is stored", "%d writes that were refused are stored", []any{1}},
		{"1.0 errors in 1 try", "%s errors in %d try", []any{"1.0", 1}},
		{`"1 requests" has 1 error`, "%q has %.0f errors", []any{"1 requests", 1.0}},
		{"1 and 20 waits, 1 pair of which is needed", "%d and %d waits, %d pairs of which are needed", []any{1, 20, 1}},
		{"1 line of connections", "%d lines of connections", []any{1}},
		{"nothing", "nothing", nil},
	} {
		if got := say(tt.format, tt.args...); got != tt.want {
			t.Errorf("said %q, want %q", got, tt.want)
		}
	}
}
