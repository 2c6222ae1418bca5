package agent_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/journal"
)

// hosted runs Main in this process and returns its handshake and an end.
func hosted(t *testing.T, c agent.Config) (agent.Handshake, func() error) {
	t.Helper()
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := agent.Main(t.Context(), in, out)
		out.CloseWithError(errors.Join(err, io.EOF))
		done <- err
	}()
	if err := json.NewEncoder(stdin).Encode(c); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	h, err := agent.DecodeHandshake(line)
	if err != nil {
		t.Fatal(err)
	}
	return h, func() error {
		stdin.Close()
		select {
		case err := <-done:
			return err
		case <-time.After(5 * time.Second):
			return errors.New("it outlives its standard input by 5s")
		}
	}
}

func TestMainHostsRedisAndEndsWithItsInput(t *testing.T) {
	h, end := hosted(t, agent.Config{
		Trial:   "t1",
		Proxies: []agent.ProxyConfig{{Name: "cache", Kind: "redis", Listen: "127.0.0.1:0"}},
		Redis:   []agent.RedisConfig{{Name: "cache", Listen: "127.0.0.1:0"}},
	})
	c := redis.NewClient(&redis.Options{Addr: h.Proxies["cache"]})
	if err := c.Set(t.Context(), "a", "b", 0).Err(); err != nil {
		t.Error(err)
	}
	if v, err := c.Get(t.Context(), "a").Result(); v != "b" {
		t.Errorf("got %q, %v", v, err)
	}
	c.Close()
	if err := end(); err != nil {
		t.Error(err)
	}
	for name, address := range map[string]string{"proxy": h.Proxies["cache"], "redis": h.Redis["cache"]} {
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			conn.Close()
			t.Errorf("the %s still listens", name)
		}
	}
}

func TestMainRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := map[string]struct{ config, want string }{
		"nothing":       {``, "configuration"},
		"no object":     {`[]`, "configuration"},
		"unknown field": {`{"trail":"x"}`, "trail"},
		"no name":       {`{"stubs":[{"listen":"127.0.0.1:0"}]}`, "has no name"},
		"twice":         {`{"redis":[{"name":"a","listen":":0"},{"name":"a","listen":":0"}]}`, "twice"},
		"no port":       {`{"proxies":[{"name":"a","listen":"x","upstream":"y:1"}]}`, "missing port"},
		"no upstream":   {`{"proxies":[{"name":"a","listen":":0"}]}`, "no upstream"},
		"port in use": {
			`{"stubs":[{"name":"a","listen":"` + taken.Addr().String() + `"}]}`,
			"address already in use",
		},
		"bad pattern": {`{"stubs":[{"name":"a","listen":"127.0.0.1:0","routes":[{"path":"/{"}]}]}`, "/{"},
		"doubled route": {
			`{"stubs":[{"name":"a","listen":"127.0.0.1:0","routes":[{"path":"/a"},{"path":"/a"}]}]}`,
			"conflicts",
		},
		"broken template": {
			`{"stubs":[{"name":"a","listen":"127.0.0.1:0","routes":[{"body":"{{.X"}]}]}`,
			"body template",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := agent.Main(t.Context(), strings.NewReader(tt.config), io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
		})
	}
}

// broken launches nothing.
type broken struct{}

func (broken) Launch(context.Context, agent.Config) (agent.Process, error) {
	return nil, errors.New("no such program")
}

func TestSuperviseReportsALaunchThatFails(t *testing.T) {
	rec := journal.NewMemory(journal.Header{})
	if _, err := agent.Supervise(t.Context(), broken{}, agent.Config{}, rec); err == nil ||
		!strings.Contains(err.Error(), "no such program") {
		t.Errorf("got %v", err)
	}
	twice := agent.Config{Redis: []agent.RedisConfig{{Name: "a", Listen: ":0"}, {Name: "a", Listen: ":0"}}}
	_, err := agent.Supervise(t.Context(), broken{}, twice, rec)
	if err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("got %v", err)
	}
}
