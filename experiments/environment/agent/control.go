package agent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"time"

	toxiclient "github.com/Shopify/toxiproxy/v2/client"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Health is the answer of GET /health.
type Health struct {
	Goroutines int `json:"goroutines"` // in the agent's process
}

// clockAnswer is the answer of GET /clock.
type clockAnswer struct {
	Now journal.Instant `json:"now"`
}

// flushAnswer is the answer of POST /flush: how many entries the stream will
// have carried when everything up to now has been read.
type flushAnswer struct {
	Entries uint64 `json:"entries"`
}

// startControl serves the control API.
func (s *server) startControl(ctx context.Context) error {
	l, err := listen(ctx, cmp.Or(s.config.Control, anyPort))
	if err != nil {
		return err
	}
	s.shake.ControlURL = "http://" + l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, Health{Goroutines: runtime.NumGoroutine()})
	})
	mux.HandleFunc("GET /clock", func(w http.ResponseWriter, _ *http.Request) { reply(w, clockAnswer{s.clock.now()}) })
	mux.HandleFunc("GET /stream", s.handleStream)
	mux.HandleFunc("POST /flush", s.handleFlush)
	mux.HandleFunc("PUT /stubs/{stub}/behaviours/{id}", s.handleBehaviour)
	mux.HandleFunc("DELETE /stubs/{stub}/behaviours/{id}", s.handleBehaviour)
	mux.HandleFunc("PUT /taps/{tap}/interferences/{id}", s.handleInterference)
	mux.HandleFunc("DELETE /taps/{tap}/interferences/{id}", s.handleInterference)
	mux.HandleFunc("PUT /proxies/{proxy}/hold", s.handleHold)
	mux.HandleFunc("DELETE /proxies/{proxy}/hold", s.handleHold)
	mux.HandleFunc("PUT /proxies/{proxy}/linger", s.handleLinger)
	mux.HandleFunc("DELETE /proxies/{proxy}/linger", s.handleLinger)
	mux.HandleFunc("POST /proxies/{proxy}/roundtrip", s.handleRoundTrip)
	s.control = serve(l, mux)
	return nil
}

// streamEvery is the least time from one batch of records to the next: each
// costs a write, and wakes its reader up.
const streamEvery = 5 * time.Millisecond

// handleStream is GET /stream: entries as they come, one JSON object a line,
// in the agent's own clock. It has one reader.
func (s *server) handleStream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	control := http.NewResponseController(w)
	if control.Flush() != nil {
		return
	}
	pause := time.NewTicker(streamEvery)
	defer pause.Stop()
	var batch []journal.Entry
	var out []byte
	for {
		var err error
		if batch, err = s.log.take(r.Context(), batch); err != nil {
			return
		}
		if out, err = appendLines(out[:0], batch); err != nil {
			return
		}
		if _, err := w.Write(out); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-pause.C:
		case <-r.Context().Done():
			return
		}
	}
}

func appendLines(out []byte, batch []journal.Entry) (_ []byte, err error) {
	for _, e := range batch {
		if out, err = e.AppendJSON(out); err != nil {
			return out, err
		}
		out = append(out, '\n')
	}
	return out, nil
}

// handleFlush is POST /flush: calls under way and tallies are recorded.
func (s *server) handleFlush(w http.ResponseWriter, _ *http.Request) {
	for _, name := range sortedKeys(s.stubs) {
		s.stubs[name].flush()
	}
	s.tallies.record()
	reply(w, flushAnswer{s.log.total()})
}

// handleHold is PUT and DELETE /proxies/{proxy}/hold: a listener on the
// proxy's port that accepts nothing. The proxy must have been disabled.
func (s *server) handleHold(w http.ResponseWriter, r *http.Request) {
	address, ok := s.proxyAddress(w, r)
	if !ok {
		return
	}
	if r.Method == http.MethodDelete {
		s.holds.release(address)
	} else if err := s.holds.hold(r.Context(), address); err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// handleLinger is PUT and DELETE /proxies/{proxy}/linger: whether connections
// now open through the proxy end with an RST or a FIN.
func (s *server) handleLinger(w http.ResponseWriter, r *http.Request) {
	address, ok := s.proxyAddress(w, r)
	if !ok {
		return
	}
	if err := lingerAll(address, r.Method == http.MethodPut); err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) proxyAddress(w http.ResponseWriter, r *http.Request) (string, bool) {
	address, ok := s.shake.Proxies[r.PathValue("proxy")]
	if !ok {
		refuse(w, http.StatusNotFound, fmt.Errorf("no proxy is called %q", r.PathValue("proxy")))
	}
	return address, ok
}

// createProxy makes one proxy with its tally, through Toxiproxy's API.
func createProxy(ctx context.Context, api string, p ProxyConfig, upstream, key string) (string, error) {
	client := toxiclient.NewClient(api)
	var proxy *toxiclient.Proxy
	err := again(ctx, func() (err error) {
		proxy, err = client.CreateProxy(p.Name, p.Listen, upstream)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("proxy %q: listen on %s: %w", p.Name, p.Listen, err)
	}
	for _, stream := range []string{"upstream", "downstream"} {
		attributes := toxiclient.Attributes{"key": key, "up": stream == "upstream"}
		if _, err := proxy.AddToxic("tally-"+stream, tallyToxic, stream, 1, attributes); err != nil {
			return "", fmt.Errorf("proxy %q: %w", p.Name, err)
		}
	}
	return proxy.Listen, nil
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the asker has left
}

// refuse answers with an error's text.
func refuse(w http.ResponseWriter, status int, err error) {
	text := err.Error()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	//nolint:gosec // plain text for our own client
	_, _ = io.WriteString(w, text) // the asker has left
}

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }
