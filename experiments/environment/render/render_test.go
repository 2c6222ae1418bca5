package render

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/environment/redact"
)

func TestString(t *testing.T) {
	t.Setenv("ST_TOKEN", "abcdef123")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key.txt"), []byte("file-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var secrets redact.Secrets
	s := Scope{Values: map[string]string{"port.http": "20001"}, Dir: dir, Secrets: &secrets}.
		With(map[string]string{"dir": "/srv"})
	for _, c := range []struct{ in, want, err string }{
		{"", "", ""},
		{"plain", "plain", ""},
		{":${port.http}", ":20001", ""},
		{"${dir}/${dir}", "/srv//srv", ""},
		{"$$HOME ${dir}$", "$HOME /srv$", ""},
		{"$$${dir}", "$/srv", ""},
		{"$HOME", "$HOME", ""},
		{"t ${env.ST_TOKEN}", "t abcdef123", ""},
		{"${file.key.txt}", "file-secret", ""},
		{"${env.ST_NONE}", "", "the environment variable ST_NONE is not set"},
		{"${file.none}", "", "no such file"},
		{"${port.htp}", "", "unknown reference ${port.htp}; known are ${dir}, ${port.http}, ${env.NAME}, ${file.PATH}"},
		{"${dir", "", "no closing brace"},
	} {
		got, err := s.String(c.in)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("String(%q) = %q, %v; want %q, %q", c.in, got, err, c.want, c.err)
		}
	}
	if got, want := secrets.Clean("abcdef123 file-secret 20001"), "[secret] [secret] 20001"; got != want {
		t.Errorf("cleaned: %q, want %q", got, want)
	}
}

func TestEnvAndFiles(t *testing.T) {
	var secrets redact.Secrets
	s := Scope{Values: map[string]string{"a": "1"}, Secrets: &secrets}
	env, err := s.Env(map[string]string{"B": "${a}", "A_TOKEN": "tok${a}xyz"})
	if diff := cmp.Diff([]string{"A_TOKEN=tok1xyz", "B=1"}, env); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if got := secrets.Clean("tok1xyz"); got != redact.Mark {
		t.Errorf("the token was not taken for a secret: %q", got)
	}
	if _, err := s.Env(map[string]string{"B": "${b}"}); err == nil || !strings.HasPrefix(err.Error(), "env B: ") {
		t.Errorf("got %v, want an error that names the entry", err)
	}
	if args, err := s.Strings([]string{"-x", "${a}"}); err != nil || args[1] != "1" {
		t.Error(args, err)
	}
	dir := t.TempDir()
	if err := s.Files(dir, map[string]string{"conf/app.yaml": "port: ${a}\n"}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "conf/app.yaml")); err != nil || string(b) != "port: 1\n" {
		t.Errorf("%q, %v", b, err)
	}
	if err := s.Files(dir, map[string]string{"../out": ""}); err == nil {
		t.Error("a file was written outside the folder")
	}
}

func FuzzString(f *testing.F) {
	f.Add("a ${x} $$ $ ${")
	f.Add("${env.HOME}")
	f.Fuzz(func(t *testing.T, text string) {
		s := Scope{Values: map[string]string{"x": "v"}}
		got, err := s.String(strings.ReplaceAll(text, "$", "$$"))
		if err != nil || got != text {
			t.Errorf("escaped text came out as %q, %v; want %q", got, err, text)
		}
		if !strings.Contains(text, "env.") && !strings.Contains(text, "file.") {
			_, _ = s.String(text) // must not panic
		}
	})
}
