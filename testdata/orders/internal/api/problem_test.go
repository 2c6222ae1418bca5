package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
	"github.com/seatrial/seatrial/testdata/orders/internal/payments"
	"github.com/seatrial/seatrial/testdata/orders/internal/store"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

func TestFail(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want int
	}{
		"invalid":     {t.Context(), &orders.InvalidError{Problems: []string{"customer"}}, http.StatusBadRequest},
		"not found":   {t.Context(), orders.ErrNotFound, http.StatusNotFound},
		"key reused":  {t.Context(), orders.ErrKeyReused, http.StatusUnprocessableEntity},
		"declined":    {t.Context(), orders.ErrDeclined, http.StatusPaymentRequired},
		"too late":    {t.Context(), orders.ErrTooLate, http.StatusConflict},
		"hung up":     {gone, store.ErrUnavailable, statusClientGone},
		"time is up":  {t.Context(), fmt.Errorf("%w: %w", store.ErrUnavailable, context.DeadlineExceeded), 504},
		"uncertain":   {t.Context(), fmt.Errorf("%w: %w", store.ErrUnavailable, orders.ErrUncertain), 502},
		"no payments": {t.Context(), payments.ErrUnavailable, http.StatusServiceUnavailable},
		"no database": {t.Context(), store.ErrUnavailable, http.StatusServiceUnavailable},
		"a surprise":  {t.Context(), errors.New("secret cause"), http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			ctx := telemetry.WithLogger(c.ctx, slog.New(slog.DiscardHandler))
			fail(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), fmt.Errorf("place order: %w", c.err))
			if w.Code != c.want {
				t.Errorf("got %d, want %d", w.Code, c.want)
			}
			if again := w.Header().Get("Retry-After"); (again != "") != (c.want == http.StatusServiceUnavailable) {
				t.Errorf("%d with Retry-After %q", w.Code, again)
			}
			if c.want != statusClientGone { // which has no name, and nobody reads
				checkShape(t, w)
			}
		})
	}
}
