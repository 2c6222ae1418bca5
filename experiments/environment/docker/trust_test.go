package docker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"testing"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
)

// TestTrust has a service call its dependency by TLS: it takes the certificate of
// an authority that was added to the image's, and not that of another.
func TestTrust(t *testing.T) {
	b := backend(t)
	if err := b.Prepare(t.Context(), small(), nil); err != nil {
		t.Fatal(err)
	}
	e, err := b.Start(t.Context(), small(), journal.NewMemory(journal.Header{}), environment.Options{Trial: "trust"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	for _, known := range []bool{true, false} {
		code := 0
		found, err := e.(environment.Contained).Trust(t.Context(), known, func(ctx context.Context, at func(string) string) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, at("http")+"/charge", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			code = resp.StatusCode
			_ = resp.Body.Close()
		})
		if err != nil {
			t.Fatal(err)
		}
		got := found["payments"]
		want := journal.Trust{Known: known, Connections: got.Connections}
		if known {
			want.Calls, want.Added = 1, bundles[0]
		}
		if got != want || got.Connections < 1 || (code == http.StatusOK) != known {
			t.Errorf("known %t: the service answers %d, and %+v reached the stub, want %+v", known, code, got, want)
		}
	}
}

func TestAuthority(t *testing.T) {
	a, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	other, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := a.certify("payments-for-orders")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair([]byte(certificate), []byte(key)); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(certificate))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		by    *authority
		host  string
		taken bool
	}{
		"its own": {a, "payments-for-orders", true}, "another": {other, "payments-for-orders", false},
		"another host": {a, "payments", false},
	} {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(c.by.text) {
			t.Fatal("an authority is no certificate")
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: c.host}); (err == nil) != c.taken {
			t.Errorf("%s: %v", name, err)
		}
	}
}
