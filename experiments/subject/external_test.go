package subject

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const externalFile = `version: 1
name: tiny
service: {command: [./tiny]}
traffic: {requests: [{name: a, path: /}]}
dependencies:
  db: {kind: postgres, %s}
`

func TestExternal(t *testing.T) {
	t.Setenv("SEATRIAL_TEST_PW", "hunter22")
	const good = "address: 127.0.0.1:5432, admin_url: 'postgres://root:${env.SEATRIAL_TEST_PW}@127.0.0.1/postgres'"
	for _, c := range []struct{ entry, want string }{
		{good, ""},
		{good + ", disruptive: true, restart: [pg_ctl, restart]", ""},
		{good + ", service_url: 'postgres://app:hunter22@127.0.0.1/app'", ""},
		{"address: 127.0.0.1:5432", "missing admin_url"},
		{"admin_url: 'postgres://root:hunter22@127.0.0.1/postgres'", "admin_url is for a server that runs already"},
		{"disruptive: true", "disruptive is for a server that runs already"},
		{good + ", durable: true", "durable cannot be set"},
		{good + ", restart: [pg_ctl]", "a restart hurts"},
		{"address: 127.0.0.1:5432, admin_url: 'root:hunter22@127.0.0.1'", "the URL is not understood"},
		{"address: 127.0.0.1:5432, admin_url: 'mysql://root:hunter22@127.0.0.1/x'", "the URL is not understood"},
		{good + ", service_url: 'postgres://app@127.0.0.1/app', migrations: x", "migrations cannot be set"},
	} {
		s, err := Decode("s.yaml", fmt.Appendf(nil, externalFile, c.entry))
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.entry, err)
			} else if !slices.Contains(s.Secrets(), "hunter22") {
				t.Errorf("%s: the password is not kept secret", c.entry)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.entry, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter22") {
			t.Errorf("the password is printed: %v", err)
		}
	}
}

func TestRemote(t *testing.T) {
	s := &Subject{Dependencies: Dependencies{
		{Name: "db", Kind: Postgres, Address: "127.0.0.1:5432", AdminURL: "postgres://a:b@db.example/x"},
	}}
	if err := s.Remote(nil); err == nil || !strings.Contains(err.Error(), "--allow-target db.example") {
		t.Errorf("got %v", err)
	}
	if err := s.Remote([]string{"db.example"}); err != nil {
		t.Error(err)
	}
	s.Dependencies[0] = Dependency{Name: "far", Kind: TCP, Address: "192.0.2.1:99"}
	if err := s.Remote(nil); err == nil || !strings.Contains(err.Error(), "far: 192.0.2.1:99 is not on this machine") {
		t.Errorf("got %v", err)
	}
}
