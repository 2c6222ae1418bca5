package redact

import (
	"strings"
	"testing"
)

func TestClean(t *testing.T) {
	var s Secrets
	s.Add("hunter22", "hunter22-long", "a b/c?d", "1")
	s.AddEnv("PAYMENTS_API_KEY", "key-4711")
	s.AddEnv("DATABASE_URL", "postgres://app:pa55word@db/app")
	s.AddEnv("MODE", "production")
	s.AddEnv("TOKEN_FILE", "/etc/token")
	for in, want := range map[string]string{
		"dial with hunter22":                          "dial with [secret]",
		"x=hunter22-long.":                            "x=[secret].",
		"q=a+b%2Fc%3Fd":                               "q=[secret]",
		"key-4711 sent":                               "[secret] sent",
		"pa55word":                                    "[secret]",
		"production 1 /etc/token":                     "production 1 /etc/token",
		"connect redis://:other@127.0.0.1:1/0":        "connect redis://:[secret]@127.0.0.1:1/0",
		"Authorization: Bearer abc.def ok":            "Authorization: Bearer [secret] ok",
		`{"cookie":"session=12","x":1}`:               `{"cookie":"[secret]","x":1}`,
		"listening on http://127.0.0.1:8080/a:b@c ok": "listening on http://127.0.0.1:8080/a:b@c ok",
		`level=INFO msg=started addr=127.0.0.1:20000`: `level=INFO msg=started addr=127.0.0.1:20000`,
	} {
		if got := s.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLooksSecret(t *testing.T) {
	for name, want := range map[string]bool{
		"DB_PASSWORD": true, "PGPASSWORD": true, "GITHUB_TOKEN": true, "STRIPE_KEY": true, "AWS_SECRET_ACCESS_KEY": true,
		"PORT": false, "KEYBOARD_LAYOUT": false, "LOG_LEVEL": false, "authToken": true, "PASSWORD_FILE": false,
	} {
		if got := LooksSecret(name); got != want {
			t.Errorf("LooksSecret(%q) = %v, want %v", name, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("tide and time")
	f.Fuzz(func(t *testing.T, secret string) {
		v := strings.TrimSpace(secret)
		if len(v) < shortest || strings.ContainsAny(v, "\n") || strings.Contains("<"+Mark+">", v) {
			return
		}
		var s Secrets
		s.Add(secret)
		if got := s.Clean("<" + v + ">"); strings.Contains(got, v) {
			t.Errorf("%q is still in %q", v, got)
		}
	})
}
