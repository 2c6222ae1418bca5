package api

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"

	"github.com/seatrial/seatrial/testdata/orders/internal/delivery"
	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

const (
	defaultPage = 20
	maxPage     = 100
)

var (
	keyShape = regexp.MustCompile(`^[A-Za-z0-9._:-]{8,128}$`)
	idShape  = regexp.MustCompile(`^ord_[a-z0-9]{26}$`)
)

func (s *Server) placeOrder(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	if !keyShape.MatchString(key) {
		refuse(w, r, http.StatusBadRequest, "Idempotency-Key: want 8 to 128 letters, digits or . _ : -")
		return
	}
	draft, ok := readDraft(w, r)
	if !ok {
		return
	}
	order, err := s.orders.Place(r.Context(), key, draft)
	if err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Location", "/v1/orders/"+order.ID)
	reply(w, http.StatusCreated, order)
}

func (s *Server) quote(w http.ResponseWriter, r *http.Request) {
	draft, ok := readDraft(w, r)
	if !ok {
		return
	}
	quote, err := s.orders.Quote(r.Context(), draft)
	if err != nil {
		fail(w, r, err)
		return
	}
	reply(w, http.StatusOK, quote)
}

func (s *Server) getOrder(w http.ResponseWriter, r *http.Request) {
	id, ok := orderID(w, r)
	if !ok {
		return
	}
	order, err := s.orders.Get(r.Context(), id)
	if err != nil {
		fail(w, r, err)
		return
	}
	reply(w, http.StatusOK, order)
}

func (s *Server) listOrders(w http.ResponseWriter, r *http.Request) {
	limit := defaultPage
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			refuse(w, r, http.StatusBadRequest, "limit: want 1 to 100")
			return
		}
		limit = n
	}
	sort, err := orders.ParseSort(r.URL.Query().Get("sort"))
	if err != nil {
		fail(w, r, err)
		return
	}
	page, next, err := s.orders.List(r.Context(), r.URL.Query().Get("cursor"), sort, limit)
	if err != nil {
		fail(w, r, err)
		return
	}
	reply(w, http.StatusOK, struct {
		Orders []orders.Order `json:"orders"`
		Next   string         `json:"next_cursor,omitempty"`
	}{page, next})
}

// deliveryTimes sends the table of delivery times, which callers fetch now and
// then. It may take as long as the server's write timeout allows.
func (s *Server) deliveryTimes(w http.ResponseWriter, r *http.Request) {
	select {
	case s.bulk <- struct{}{}:
		defer func() { <-s.bulk }()
	default:
		s.metrics.Shed.Inc()
		refuse(w, r, http.StatusServiceUnavailable, "too many downloads at once")
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	if err := delivery.WriteTable(w); err != nil {
		telemetry.Logger(r.Context()).Warn("download not finished", "error", err.Error())
	}
}

// orderID is the order that a path names. One that cannot be ours is answered
// as unknown, without asking the database.
func orderID(w http.ResponseWriter, r *http.Request) (string, bool) {
	id := r.PathValue("id")
	if !idShape.MatchString(id) {
		fail(w, r, orders.ErrNotFound)
		return "", false
	}
	return id, true
}

func readDraft(w http.ResponseWriter, r *http.Request) (orders.Draft, bool) {
	var draft orders.Draft
	if err := decode(r, &draft); err != nil {
		refuse(w, r, http.StatusBadRequest, err.Error())
		return draft, false
	}
	if err := draft.Validate(); err != nil {
		fail(w, r, err)
		return draft, false
	}
	return draft, true
}

func reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
