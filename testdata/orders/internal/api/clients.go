package api

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"

	"golang.org/x/time/rate"

	"github.com/seatrial/seatrial/testdata/orders/internal/config"
)

// client is one who may call the API, known by its token alone: addresses are
// shared behind proxies, and a header that names one can be made up.
type client struct {
	token   []byte
	limiter *rate.Limiter
}

func newClients(all []config.Client) []client {
	clients := make([]client, len(all))
	for i, c := range all {
		clients[i] = client{[]byte(c.Token.Reveal()), rate.NewLimiter(rate.Limit(c.Rate), c.Burst)}
	}
	return clients
}

type clientKey struct{}

// authorize lets callers in that have the token of a client.
func (s *Server) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		var caller *client
		for i := range s.clients { // all of them: the time says nothing of which
			if subtle.ConstantTimeCompare([]byte(token), s.clients[i].token) == 1 {
				caller = &s.clients[i]
			}
		}
		if caller == nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, r, http.StatusUnauthorized, "a bearer token is needed")
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), clientKey{}, caller)))
	})
}

// meter lets each client ask as often as it may, and refuses the rest at once.
func (s *Server) meter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, ok := r.Context().Value(clientKey{}).(*client)
		if !ok || !caller.limiter.Allow() {
			refuse(w, r, http.StatusTooManyRequests, "more requests a second than agreed")
			return
		}
		next.ServeHTTP(w, r)
	})
}
