package agent

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/faults"
)

func FuzzDecodeConfig(f *testing.F) {
	f.Add([]byte(`{"trial":"t","seed":7,"proxies":[{"name":"a","kind":"http","listen":"127.0.0.1:0"}],` +
		`"stubs":[{"name":"a","listen":"127.0.0.1:0","routes":[{"path":"/x/{id}","latency":5}]}]}`))
	f.Add([]byte(`{"redis":[{"name":"a","listen":":0"}]}`))
	f.Add([]byte(`{"proxies":[{"name":"a","listen":"[::1]:5"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeConfig(bytes.NewReader(data))
		if err != nil {
			return
		}
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeConfig(bytes.NewReader(written))
		if err != nil {
			t.Fatalf("%s was taken, and %s is not: %v", data, written, err)
		}
		if twice, _ := json.Marshal(again); !bytes.Equal(written, twice) {
			t.Fatalf("%s became %s", written, twice)
		}
	})
}

func FuzzDecodeHandshake(f *testing.F) {
	f.Add([]byte(`{"pid":1,"control_url":"http://a","toxiproxy_url":"http://b","proxies":{"a":"b"},"now":5}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := DecodeHandshake(data)
		if err == nil && (h.ControlURL == "" || h.ToxiproxyURL == "") {
			t.Fatalf("%s was taken", data)
		}
	})
}

// The control API takes a behaviour only when it is sound, and whatever it is
// sent, it answers and its stub serves on.
func FuzzBehaviour(f *testing.F) {
	for _, seed := range []string{
		`{"fault":"status","status":503,"retry_after":1000000000,"ratio":0.5,"first_n":3}`,
		`{"stall":true,"stall_after":3,"stall_every":5}`, `{"ratio":-1}`, `{"ratio":1e400}`, `{"status":7}`,
		`{"delay":-1}`, `{"route":"nowhere"}`, `{"hang":true}{"reset":true}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	l := newRecordLog(clock{})
	st, err := newStub(StubConfig{Name: "a"}, newIDs(1), clock{}, l)
	if err != nil {
		f.Fatal(err)
	}
	s := &server{stubs: map[string]*stub{"a": st}}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /stubs/{stub}/behaviours/{id}", s.handleBehaviour)
	f.Fuzz(func(t *testing.T, data []byte) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/stubs/a/behaviours/x", bytes.NewReader(data)))
		b, err := DecodeBehaviour(bytes.NewReader(data))
		switch {
		case err != nil || b.Route != "":
			if w.Code != http.StatusBadRequest {
				t.Fatalf("%s got %d, %v", data, w.Code, err)
			}
			return
		case w.Code != http.StatusNoContent:
			t.Fatalf("%s got %d", data, w.Code)
		case !(b.Ratio >= 0 && b.Ratio <= 1) || b.Delay < 0:
			t.Fatalf("%s was taken", data)
		}
		st.behaviours.clear("x")
	})
}

func TestPick(t *testing.T) {
	tests := map[string]struct {
		list []faults.Behaviour
		want []string
	}{
		"none":        {nil, []string{"", "", ""}},
		"all":         {[]faults.Behaviour{{Fault: "a"}}, []string{"a", "a", "a"}},
		"first wins":  {[]faults.Behaviour{{Fault: "a"}, {Fault: "b"}}, []string{"a", "a", "a"}},
		"first two":   {[]faults.Behaviour{{Fault: "a", FirstN: 2}, {Fault: "b"}}, []string{"a", "a", "b"}},
		"other route": {[]faults.Behaviour{{Fault: "a", Route: "x"}, {Fault: "b", Route: "r"}}, []string{"b", "b", "b"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var bs behaviours
			for _, b := range tt.list {
				bs.set(b.Fault, b)
			}
			var got []string
			for range tt.want {
				f := ""
				if a := bs.pick("r"); a != nil {
					f = a.Fault
				}
				got = append(got, f)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The same seed draws the same calls.
func TestPickIsSeeded(t *testing.T) {
	draw := func(seed uint64) (picked []bool) {
		var bs behaviours
		bs.set("a", faults.Behaviour{Ratio: 0.3, Seed: seed})
		for range 200 {
			picked = append(picked, bs.pick("r") != nil)
		}
		return picked
	}
	if diff := cmp.Diff(draw(5), draw(5)); diff != "" {
		t.Error("the same seed drew differently")
	}
	if cmp.Equal(draw(5), draw(6)) {
		t.Error("another seed drew the same")
	}
}

// TestStubSpeaksTLS has a stub show the certificate that it was given, and
// nothing in the clear.
func TestStubSpeaksTLS(t *testing.T) {
	_, err := newStub(StubConfig{Name: "a", Certificate: "none"}, newIDs(1), clock{}, newRecordLog(clock{}))
	if err == nil || !strings.Contains(err.Error(), `stub "a": its certificate`) {
		t.Errorf("a certificate that is none: %v", err)
	}
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	defer pair.Close()
	own := pair.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	st, err := newStub(StubConfig{
		Name:        "a",
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]})),
		Key:         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	}, newIDs(1), clock{}, newRecordLog(clock{}))
	if err != nil {
		t.Fatal(err)
	}
	address, err := st.listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer st.http.Close()
	for base, want := range map[string]int{"https://": http.StatusNoContent, "http://": http.StatusBadRequest} {
		resp, err := pair.Client().Get(base + address + PingPath)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != want {
			t.Errorf("%s answers %s, want %d: %v", base, resp.Status, want, err)
		}
	}
	pair.Client().CloseIdleConnections()
}

func TestDialled(t *testing.T) {
	for listen, want := range map[string]string{
		"[::]:5432": "127.0.0.1:5432", "0.0.0.0:80": "127.0.0.1:80", "127.0.0.1:1": "127.0.0.1:1", "[::1]:2": "[::1]:2",
	} {
		if got := dialled(listen); got != want {
			t.Errorf("%s is dialled at %s, want %s", listen, got, want)
		}
	}
}
