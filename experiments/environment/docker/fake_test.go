package docker

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// fakeEngine is a container engine of nothing but its API, as far as the tests need
// that.
type fakeEngine struct {
	mu         sync.Mutex
	containers []container.Summary
	volumes    []volume.Volume // none has a container any more
	networks   []network.Network
	asked      []string // for volumes, with which filters
	removed    []string
}

// listen has a handler answer behind a socket, and returns its address for
// DOCKER_HOST. The name of a socket has to be short.
func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine-")
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return "unix://" + l.Addr().String()
}

// to is an engine that is the fake one.
func (f *fakeEngine) to(t *testing.T) *engine {
	t.Helper()
	c, err := client.New(client.WithHost(listen(t, f)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &engine{client: &testcontainers.DockerClient{Client: c}}
}

// ServeHTTP answers what an engine is asked.
func (f *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Api-Version", "1.47")
	w.Header().Set("Content-Type", "application/json")
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/") // v1.47, volumes, name
	if r.Method == http.MethodDelete {
		f.removed = append(f.removed, strings.Join(parts[1:], " "))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var answer any = map[string]string{}
	switch parts[len(parts)-1] {
	case "json":
		answer = []any{} // images
		if parts[1] == "containers" {
			answer = f.containers
		}
	case "volumes":
		f.asked = append(f.asked, r.URL.Query().Get("filters"))
		answer = volume.ListResponse{Volumes: f.volumes}
	case "networks":
		answer = f.networks
	}
	_ = json.NewEncoder(w).Encode(answer) // a client that is gone misses nothing
}

// heard is what it was told to remove, and with which filters it was asked for
// volumes.
func (f *fakeEngine) heard() (removed, asked []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.removed), slices.Clone(f.asked)
}
