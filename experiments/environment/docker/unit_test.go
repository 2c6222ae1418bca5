package docker

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/image"

	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

func TestExitOf(t *testing.T) {
	for status, want := range map[int64]spawn.Exit{
		0: {PID: 7}, 3: {PID: 7, Code: 3}, 137: {PID: 7, Code: -1, Signal: "killed"},
		143: {PID: 7, Code: -1, Signal: "terminated"}, 255: {PID: 7, Code: 255},
	} {
		if got := exitOf(7, status); got != want {
			t.Errorf("status %d: %+v, want %+v", status, got, want)
		}
	}
}

func TestListeners(t *testing.T) {
	text := "  sl  local_address rem_address   st\n" +
		"   0: 0B00007F:A3B7 00000000:0000 0A 0\n" +
		"   1: 00000000:1F90 00000000:0000 0A 0\n" +
		"   2: 0100007F:1F90 0100007F:9999 01 0\n" +
		"   3: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 0\n" +
		"   4: nonsense 00000000:0000 0A 0\n"
	want := []string{"127.0.0.11:41911", "0.0.0.0:8080", "[::]:8081"}
	if diff := cmp.Diff(want, listeners(text)); diff != "" {
		t.Error(diff)
	}
}

// pack makes an archive of files, in order.
func pack(t *testing.T, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1])), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestScanner(t *testing.T) {
	key := "-----BEGIN EC PRIVATE KEY-----\n" + strings.Repeat("MHcCAQEE", 12) + "\n-----END EC PRIVATE KEY-----\n"
	first := pack(t,
		"app", "-----BEGIN PRIVATE KEY----- is how one begins", "etc/key.pem", key, "home/.netrc", "machine x")
	second := pack(t, ".wh.key.pem", "", "notes", "the password is hunter-two-three", "empty/.env", "")
	image := pack(t, "manifest.json", "[]", "1/layer.tar", string(first), "2/layer.tar", string(second))
	s := &scanner{canaries: []string{"hunter-two-three", "short"}}
	if err := s.image(bytes.NewReader(image)); err != nil {
		t.Fatal(err)
	}
	want := []journal.LayerSecret{
		{Layer: 1, Path: "/etc/key.pem", What: "a private key"},
		{Layer: 1, Path: "/home/.netrc", What: "what its name says"},
		{Layer: 2, Path: "/notes", What: "a secret of the subject file"},
	}
	if diff := cmp.Diff(want, s.found); diff != "" {
		t.Error(diff)
	}
	if err := (&scanner{}).image(bytes.NewReader(image[:1500])); err == nil {
		t.Error("a torn image was read to its end")
	}
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte("no archive"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_ = (&scanner{}).image(bytes.NewReader(b)) // an error, or not: it ends
	})
}

func TestContextOf(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Dockerfile": "FROM scratch\n", "main.go": "package main\n", "gone.go": "x", "secret/key": "x",
		"Dockerfile.dockerignore": "secret\n", "other": "the other\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := contextOf(t.Context(), dir, "Dockerfile", map[string]string{
		filepath.Join(dir, "main.go"): filepath.Join(dir, "other"), filepath.Join(dir, "gone.go"): "",
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err != nil {
			break
		}
		text, _ := io.ReadAll(in)
		got[h.Name] = string(text)
	}
	want := map[string]string{
		"Dockerfile": "FROM scratch\n", "main.go": "the other\n", "other": "the other\n",
		"Dockerfile.dockerignore": "secret\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPorts(t *testing.T) {
	s := &subject.Subject{Service: subject.Service{Ports: map[string]int{"admin": 0, "http": 8080, "grpc": 0}}}
	if diff := cmp.Diff(map[string]int{"http": 8080, "admin": 8081, "grpc": 8082}, insidePorts(s)); diff != "" {
		t.Error(diff)
	}
	taken := map[int]bool{apiPort: true}
	var got []int
	for _, d := range []subject.Dependency{
		{Kind: subject.Postgres},
		{Kind: subject.Postgres},
		{Kind: subject.TCP, Address: "mail.example:25"},
		{Kind: subject.TCP, Image: "nats", Port: 4222},
	} {
		got = append(got, portFor(d, taken))
	}
	if want := []int{5432, 5433, 10025, 4222}; !slices.Equal(got, want) {
		t.Errorf("ports %v, want %v", got, want)
	}
}

func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*subject.Subject)
		want string
	}{
		"good":    {func(*subject.Subject) {}, ""},
		"nothing": {func(s *subject.Subject) { s.Service.Build = nil }, "neither container.image nor"},
		"image":   {func(s *subject.Subject) { s.Service.Build, s.Service.Container.Image = nil, "orders" }, ""},
		"loopback": {func(s *subject.Subject) {
			s.Dependencies[2] = subject.Dependency{Name: "m", Kind: "tcp", Address: "127.0.0.1:1"}
		}, "give it an image"},
		"remote": {func(s *subject.Subject) {
			s.Dependencies[2] = subject.Dependency{Name: "m", Kind: "tcp", Address: "192.0.2.1:1"}
		}, "--allow-target"},
		"stub": {func(s *subject.Subject) {
			s.Environment, s.Images.Toxiproxy = "docker", "toxiproxy"
		}, "payments: an http"},
		"signal": {func(s *subject.Subject) { s.Service.Stop.Signal = "SIGNOTHING" }, "no signal is called"},
	} {
		t.Run(name, func(t *testing.T) {
			s := tiny()
			tt.edit(s)
			err := (&Backend{}).check(s)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestCheckNext refuses to try the next version by the present one's image.
func TestCheckNext(t *testing.T) {
	const refused = "its image is that of the present one"
	build := &subject.Build{Package: ".", Tags: []string{"next"}}
	for name, tt := range map[string]struct {
		edit func(*subject.Subject)
		want string
	}{
		"none":      {func(s *subject.Subject) { s.Next = nil }, ""},
		"other env": {func(*subject.Subject) {}, ""},
		"compiled":  {func(s *subject.Subject) { s.Next.Build = build }, ""},
		"dockerfile": {func(s *subject.Subject) {
			s.Service.Container.Dockerfile, s.Next.Build = "Dockerfile", build
		}, refused},
		"image": {func(s *subject.Subject) { s.Service.Container.Image, s.Next.Build = "tiny", build }, refused},
		"args": {func(s *subject.Subject) {
			s.Service.Container.Dockerfile, s.Next.Build = "Dockerfile", build
			s.Next.Container.Args = map[string]string{"TAGS": "next"}
		}, ""},
		"other image": {func(s *subject.Subject) {
			s.Service.Container.Dockerfile, s.Next.Build, s.Next.Container.Image = "Dockerfile", build, "tiny:next"
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := tiny()
			tt.edit(s)
			err := checkNext(s)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestSumOf has another tag where anything of a build is another, and only
// there.
func TestSumOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mutated")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sum := func(edit func(c *subject.Container, args map[string]*string)) string {
		one := "1"
		c, args := subject.Container{Dockerfile: "Dockerfile"}, map[string]*string{"A": &one}
		edit(&c, args)
		return string(sumOf("/src", c.Dockerfile, c, args, map[string]string{"/src/main.go": file}))
	}
	nothing := func(*subject.Container, map[string]*string) {}
	write("a")
	first := sum(nothing)
	if sum(nothing) != first {
		t.Error("the same build has two tags")
	}
	two := "2"
	for name, edit := range map[string]func(c *subject.Container, args map[string]*string){
		"target": func(c *subject.Container, _ map[string]*string) { c.Target = "last" },
		"args":   func(_ *subject.Container, args map[string]*string) { args["A"] = &two },
		"file":   func(c *subject.Container, _ map[string]*string) { c.Dockerfile = "Dockerfile.other" },
	} {
		if sum(edit) == first {
			t.Errorf("another %s has the same tag", name)
		}
	}
	if write("b"); sum(nothing) == first {
		t.Error("another content has the same tag")
	}
}

// TestStale keeps images that the next trial would have to build again.
func TestStale(t *testing.T) {
	now := time.Now()
	made := func(ago time.Duration, names ...string) image.Summary {
		return image.Summary{RepoTags: names, Created: now.Add(-ago).Unix()}
	}
	for name, c := range map[string]struct {
		image image.Summary
		want  bool
	}{
		"of today":     {made(time.Hour, "seatrial/agent:1"), false},
		"of last week": {made(8*24*time.Hour, "seatrial/agent:1"), true},
		"nameless":     {made(time.Hour), true},
	} {
		if got := stale(c.image, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNameOf(t *testing.T) {
	const id = "sha256:0123456789abcdef"
	for _, c := range []struct {
		image image.Summary
		want  string
	}{
		{image.Summary{ID: id, RepoTags: []string{"seatrial/agent:1", "seatrial/agent:2"}}, "seatrial/agent:1"},
		{image.Summary{ID: id}, "0123456789ab"},
	} {
		if got := nameOf(c.image); got != c.want {
			t.Errorf("%v is called %q, want %q", c.image.RepoTags, got, c.want)
		}
	}
}

func TestOlder(t *testing.T) {
	for version, want := range map[string]bool{
		"1.41": true, "1.9": true, "1.42": false, "1.51": false, "2.0": false, "": false,
	} {
		if got := older(version, leavesAtOnce); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
