package agent

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/observe"
)

// handleRoundTrip is POST /proxies/{proxy}/roundtrip: one exchange with the
// dependency through its proxy, made here, within the timeout that the query
// names.
func (s *server) handleRoundTrip(w http.ResponseWriter, r *http.Request) {
	address, ok := s.proxyAddress(w, r)
	if !ok {
		return
	}
	timeout, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || timeout <= 0 {
		refuse(w, http.StatusBadRequest, fmt.Errorf("timeout: %q is no time", r.URL.Query().Get("timeout")))
		return
	}
	trip := observe.RoundTrip{Kind: s.kindOf(r.PathValue("proxy")), Address: dialled(address), Timeout: timeout}
	reply(w, trip.Exchange(r.Context()))
}

// dialled is where a listener is dialled: on loopback, where it listens on all
// addresses.
func dialled(listen string) string {
	a, err := netip.ParseAddrPort(listen)
	if err != nil || !a.Addr().IsUnspecified() {
		return listen
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port()).String()
}

func (s *server) kindOf(proxy string) string {
	for _, p := range s.config.Proxies {
		if p.Name == proxy {
			return p.Kind
		}
	}
	return ""
}

// RoundTrips implements [observe.Beside]: where the proxy is reached elsewhere
// than it listens, the agent makes them.
func (d *Dependency) RoundTrips() func(context.Context, time.Duration) journal.RoundTrip {
	if d.config.Reached == "" {
		return nil
	}
	return d.roundTrip
}

var _ observe.Beside = Stub{}

// tellsWithin is how long after a round trip's own end the agent's answer may
// come.
const tellsWithin = time.Second

// roundTrip has the agent make one round trip. That the agent did not say how it
// ended is an error of no particular kind.
func (d *Dependency) roundTrip(ctx context.Context, timeout time.Duration) (trip journal.RoundTrip) {
	s, err := d.agent.session()
	if err == nil {
		bounded, cancel := context.WithTimeout(ctx, timeout+tellsWithin)
		defer cancel()
		path := "/proxies/" + url.PathEscape(d.Name()) + "/roundtrip?timeout=" + timeout.String()
		err = s.ask(bounded, http.MethodPost, path, nil, &trip)
	}
	if err != nil {
		return journal.RoundTrip{Err: journal.ErrOther}
	}
	return trip
}
