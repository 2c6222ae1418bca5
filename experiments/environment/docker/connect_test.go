package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

// callerEnv has the test binary look for an engine for so long and say what it found:
// testcontainers looks once in a process.
const callerEnv = "SEATRIAL_TEST_CALLER"

func caller(within string) {
	d, err := time.ParseDuration(within)
	if err == nil {
		_, err = connectWithin(context.Background(), d)
	}
	fmt.Println(err)
}

// call has a process of its own look for an engine.
func call(t *testing.T, within time.Duration, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	home := t.TempDir()
	cmd.Env = append([]string{
		callerEnv + "=" + within.String(), "PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_RUNTIME_DIR=" + home,
	}, env...)
	said, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

// silent takes requests and answers none.
func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// TestConnectSlowly tells an engine that is slow from one that is not there.
func TestConnectSlowly(t *testing.T) {
	slowly := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(100 * time.Millisecond):
			(&fakeEngine{}).ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
	for name, c := range map[string]struct {
		engine http.HandlerFunc
		within time.Duration
		env    string
		want   string
	}{
		"in time": {slowly, answerWithin, "", "<nil>\n"},
		"not in time": {
			silent, 200 * time.Millisecond, ryukDisabled + "=true", "the container engine has not answered within 200ms",
		},
		"not even of images": {silent, 200 * time.Millisecond, "", "the container engine has not answered within 200ms"},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, c.within, "DOCKER_HOST="+listen(t, c.engine), c.env)
			if !strings.HasPrefix(got, c.want) || strings.Count(got, "\n") != 1 {
				t.Errorf("got %q, want %q in one line", got, c.want)
			}
		})
	}
}

// refusing is the address of a socket that nobody listens at.
func refusing(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return "unix://" + filepath.Join(dir, "s")
}

func broken(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "no space left", http.StatusInternalServerError)
}

// TestUnreachable says why there is no engine, as the engine's client tells it.
func TestUnreachable(t *testing.T) {
	asked := func(address string) error {
		c, err := client.New(client.WithHost(address))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Info(t.Context(), client.InfoOptions{})
		return fmt.Errorf("%s %q: docker info: %w", tried, address, err)
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"nowhere": {errors.New("rootless Docker not found"), "no container engine is here: DOCKER_HOST is not set"},
		"refused": {asked(refusing(t)), "no container engine answers: check host"},
		"gone":    {asked("unix:///nowhere/docker.sock"), "no container engine answers: check host"},
		"broken":  {asked(listen(t, http.HandlerFunc(broken))), "the container engine cannot be used: check host"},
		"barred": {
			errors.New("check host: permission denied while trying to connect to the docker API at unix:///s"),
			"the container engine does not take this user",
		},
		"silent":    {fmt.Errorf("ask: %w", context.DeadlineExceeded), "the container engine has not answered within 1s"},
		"cancelled": {fmt.Errorf("ask: %w", context.Canceled), "ask: context canceled"},
	} {
		got := unreachable(errors.Join(c.err, errors.New("and more")), time.Second)
		if !strings.HasPrefix(strings.Join(strings.Fields(got.Error()), " "), c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if errors.Is(got, errSilent) != (name == "silent") {
			t.Errorf("%s: silent is told apart wrongly", name)
		}
	}
}

// TestConnectNowhere holds those reasons against what testcontainers says, where it
// finds no engine at the usual places.
func TestConnectNowhere(t *testing.T) {
	for _, socket := range []string{"/var/run/docker.sock", "/run/user/" + strconv.Itoa(os.Getuid()) + "/docker.sock"} {
		if _, err := os.Stat(socket); err == nil {
			t.Skipf("there is %s", socket)
		}
	}
	for _, c := range []struct{ host, want string }{
		{"", "no container engine is here: DOCKER_HOST is not set"},
		{refusing(t), "no container engine answers: check host"},
		{listen(t, http.HandlerFunc(broken)), "the container engine cannot be used: check host"},
	} {
		got := call(t, answerWithin, "DOCKER_HOST="+c.host)
		if !strings.HasPrefix(got, c.want) || strings.Count(got, "\n") != 1 {
			t.Errorf("DOCKER_HOST=%s: got %q, want %q in one line", c.host, got, c.want)
		}
	}
}
