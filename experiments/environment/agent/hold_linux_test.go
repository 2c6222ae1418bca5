package agent

import (
	"net/netip"
	"testing"
)

func TestReached(t *testing.T) {
	for listens, want := range map[string]string{
		"127.0.0.2:8080": "127.0.0.2:8080",
		"[::1]:8080":     "[::1]:8080",
		"0.0.0.0:8080":   "127.0.0.1:8080",
		"[::]:8080":      "127.0.0.1:8080",
	} {
		if got := reached(netip.MustParseAddrPort(listens)).String(); got != want {
			t.Errorf("%s is reached at %s, want %s", listens, got, want)
		}
	}
}
