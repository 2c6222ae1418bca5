package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
	"github.com/seatrial/seatrial/testdata/orders/internal/payments"
	"github.com/seatrial/seatrial/testdata/orders/internal/store"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

// problem is the one shape of all errors (RFC 9457).
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// statusClientGone is for logs and metrics: the caller hung up.
const statusClientGone = 499

// refuse writes a problem. Detail is for the caller: nothing internal.
func refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	p := problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
	if s, ok := telemetry.ScopeOf(r.Context()); ok {
		p.RequestID = s.RequestID
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p)
}

// fail answers with what an error means to the caller; the cause goes to the
// log.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	status, detail := classify(r.Context(), err)
	if status >= 500 || status == statusClientGone {
		telemetry.Logger(r.Context()).Warn("request not served", "status", status, "error", err.Error())
	}
	refuse(w, r, status, detail)
}

func classify(ctx context.Context, err error) (status int, detail string) {
	var invalid *orders.InvalidError
	switch {
	case errors.As(err, &invalid):
		return http.StatusBadRequest, invalid.Error()
	case errors.Is(err, orders.ErrNotFound):
		return http.StatusNotFound, "there is no such order"
	case errors.Is(err, orders.ErrKeyReused):
		return http.StatusUnprocessableEntity, "this Idempotency-Key came with a different order before"
	case errors.Is(err, orders.ErrDeclined):
		return http.StatusPaymentRequired, "the payment was declined; nothing was ordered"
	case errors.Is(err, orders.ErrTooLate):
		return http.StatusConflict, "too late for this Idempotency-Key: nothing was ordered; order again under a new one"
	case errors.Is(ctx.Err(), context.Canceled):
		return statusClientGone, ""
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout, "not done in time; a retry with the same Idempotency-Key is safe"
	case errors.Is(err, orders.ErrUncertain):
		return http.StatusBadGateway, "the outcome is not known; a retry with the same Idempotency-Key finds it out"
	case errors.Is(err, payments.ErrUnavailable):
		return http.StatusServiceUnavailable, "payments are unavailable; a retry with the same Idempotency-Key is safe"
	case errors.Is(err, store.ErrUnavailable):
		return http.StatusServiceUnavailable, "orders are unavailable; a retry with the same Idempotency-Key is safe"
	default:
		return http.StatusInternalServerError, ""
	}
}
