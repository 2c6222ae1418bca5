package api

import "net/http"

// note is what the shop has noted of an order; the last one that was written
// stands.
type note struct {
	Note string `json:"note"`
}

func (s *Server) setNote(w http.ResponseWriter, r *http.Request) {
	id, ok := orderID(w, r)
	if !ok {
		return
	}
	var n note
	if err := decode(r, &n); err != nil {
		refuse(w, r, http.StatusBadRequest, err.Error())
		return
	}
	if err := s.orders.SetNote(r.Context(), id, n.Note); err != nil {
		fail(w, r, err)
		return
	}
	reply(w, http.StatusOK, n)
}

func (s *Server) getNote(w http.ResponseWriter, r *http.Request) {
	id, ok := orderID(w, r)
	if !ok {
		return
	}
	text, err := s.orders.Note(r.Context(), id)
	if err != nil {
		fail(w, r, err)
		return
	}
	reply(w, http.StatusOK, note{text})
}
