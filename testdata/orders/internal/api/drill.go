package api

import (
	"context"
	"net/http"
)

// Driller panics in the middle of its work.
type Driller interface {
	Drill(ctx context.Context) error
}

// Drill adds a route that panics in the middle of d's work, to practise what
// becomes of a request whose handler does: POST /v1/drills/panic.
func (s *Server) Drill(d Driller) { s.driller = d }

func (s *Server) drill(w http.ResponseWriter, r *http.Request) {
	fail(w, r, s.driller.Drill(r.Context()))
}
