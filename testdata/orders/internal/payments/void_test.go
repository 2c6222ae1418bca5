package payments

import (
	"errors"
	"net/http"
	"testing"
)

func TestVoid(t *testing.T) {
	var asked []string
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.EscapedPath())
		if len(asked) > 1 {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	if err := c.Void(t.Context(), "charge-ord_1/2"); err != nil || asked[0] != "DELETE /charges/charge-ord_1%2F2" {
		t.Errorf("asked %q: %v", asked, err)
	}
	if err := c.Void(t.Context(), "k"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
}
