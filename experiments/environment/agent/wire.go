package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/seatrial/seatrial/experiments/environment/agent/wiretap"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// WireConfig puts a wire tap between a postgres dependency's proxy and its
// server.
type WireConfig struct {
	// TLS lets a service that asks for TLS have it, with a self-made
	// certificate; otherwise it is refused.
	TLS bool `json:"tls,omitempty"`
}

// Tapped is a postgres dependency with a wire tap as a target of faults.
type Tapped struct{ *Dependency }

var _ faults.Tapped = Tapped{}

// Tapped returns the postgres dependency of that name with its wire tap; false
// when it has none.
func (a *Agent) Tapped(name string) (Tapped, bool) {
	d := a.Dependency(name)
	return Tapped{d}, d != nil && d.config.Wire != nil
}

// Interfere puts an interference in force under an id, in place of one of the
// same id.
func (t Tapped) Interfere(ctx context.Context, id string, i faults.Interference) error {
	return t.interference(ctx, http.MethodPut, id, i)
}

// LeaveAlone takes an interference back; what it holds is let go.
func (t Tapped) LeaveAlone(ctx context.Context, id string) error {
	return t.interference(ctx, http.MethodDelete, id, nil)
}

func (t Tapped) interference(ctx context.Context, method, id string, in any) error {
	now, err := t.agent.session()
	if err == nil {
		path := "/taps/" + url.PathEscape(t.Name()) + "/interferences/" + url.PathEscape(id)
		err = now.ask(ctx, method, path, in, nil)
	}
	if method == http.MethodDelete && errors.Is(err, errReplaced) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wire tap of %q: interference %q: %w", t.Name(), id, err)
	}
	return nil
}

// startTaps starts the wire taps.
func (s *server) startTaps(ctx context.Context) error {
	for _, p := range s.config.Proxies {
		if p.Wire == nil {
			continue
		}
		t, err := wiretap.Listen(ctx, "127.0.0.1:0", wiretap.Config{
			Name: p.Name, Upstream: p.Upstream, AnswerTLS: p.Wire.TLS,
			Canary: journal.Canary(s.config.Run),
			Now:    s.clock.now, Record: func(e journal.Entry) { s.log.add(e) },
		})
		if err != nil {
			return err
		}
		s.taps[p.Name] = t
	}
	return nil
}

// handleInterference is PUT and DELETE /taps/{tap}/interferences/{id}.
func (s *server) handleInterference(w http.ResponseWriter, r *http.Request) {
	t, ok := s.taps[r.PathValue("tap")]
	if !ok {
		refuse(w, http.StatusNotFound, fmt.Errorf("no wire tap is called %q", r.PathValue("tap")))
		return
	}
	if r.Method == http.MethodDelete {
		t.LeaveAlone(r.PathValue("id"))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	i, err := DecodeInterference(r.Body)
	if err == nil {
		err = t.Interfere(r.PathValue("id"), i)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// DecodeInterference reads one interference as the control API takes it.
// Unknown fields are errors.
func DecodeInterference(r io.Reader) (faults.Interference, error) {
	dec := json.NewDecoder(io.LimitReader(r, 1<<16))
	dec.DisallowUnknownFields()
	var i faults.Interference
	if err := dec.Decode(&i); err != nil {
		return faults.Interference{}, fmt.Errorf("read interference: %w", err)
	}
	return i, nil
}
