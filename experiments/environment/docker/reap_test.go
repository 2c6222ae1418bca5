package docker

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/watcher"
	"github.com/seatrial/seatrial/experiments/journal"
)

// TestReapVolumes finds a volume whose container is gone, and removes it after the
// containers and before the networks.
func TestReapVolumes(t *testing.T) {
	const scratch = "/tmp/seatrial-trial-1"
	labels := map[string]string{labelScratch: scratch, labelTrial: "one"}
	f := &fakeEngine{
		containers: []container.Summary{{ID: "c1", Names: []string{"/eager_hare"}, Labels: labels}},
		volumes:    []volume.Volume{{Name: "0123456789abcdef", Labels: labels}},
		networks:   []network.Network{{ID: "n1", Name: "net", Labels: labels}},
	}
	g := f.to(t)
	found, err := g.find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range found {
		if l.Scratch != scratch {
			t.Errorf("%v belongs to %q", l, l.Scratch)
		}
		got = append(got, l.String())
	}
	want := []string{"container eager_hare of trial one", "network net of trial one", "volume 0123456789ab of trial one"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := g.clear(t.Context(), scratch); err != nil {
		t.Fatal(err)
	}
	removed, asked := f.heard()
	want = []string{"containers c1", "volumes 0123456789abcdef", "networks n1"}
	if diff := cmp.Diff(want, removed); diff != "" {
		t.Error(diff)
	}
	want = []string{
		`{"dangling":{"true":true},"label":{"seatrial.scratch":true}}`,
		`{"label":{"seatrial.scratch=` + scratch + `":true}}`,
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
}

// TestMark has every volume of a container carry its environment's labels, those of
// its image too, unless something else is mounted there.
func TestMark(t *testing.T) {
	labels := map[string]string{labelScratch: "s"}
	for name, c := range map[string]struct {
		order    order
		declared []string
		want     map[string]mount.Type
	}{
		"nothing":      {order{}, nil, map[string]mount.Type{}},
		"files":        {order{files: map[string]string{"a": "b"}}, nil, map[string]mount.Type{shelf: mount.TypeVolume}},
		"no files":     {order{files: map[string]string{}}, nil, map[string]mount.Type{shelf: mount.TypeTmpfs}},
		"the image's":  {order{}, []string{"/data"}, map[string]mount.Type{"/data": mount.TypeVolume}},
		"both":         {order{files: map[string]string{}}, []string{shelf}, map[string]mount.Type{shelf: mount.TypeTmpfs}},
		"in memory":    {order{readOnly: true}, []string{"/tmp"}, map[string]mount.Type{}},
		"beside tmpfs": {order{readOnly: true}, []string{"/tmp/a"}, map[string]mount.Type{"/tmp/a": mount.TypeVolume}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &container.HostConfig{}
			c.order.host(h)
			mark(h, c.declared, labels)
			got := map[string]mount.Type{}
			for _, m := range h.Mounts {
				got[m.Target] = m.Type
				if m.Source != "" {
					t.Errorf("the volume of %s has a name and outlives its container", m.Target)
				}
				if m.Type == mount.TypeVolume && m.VolumeOptions.Labels[labelScratch] != "s" {
					t.Errorf("the volume of %s is not marked", m.Target)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" || len(got) != len(h.Mounts) {
				t.Error(diff, h.Mounts)
			}
		})
	}
}

// TestLostVolume loses a container without its volumes, as an engine does that dies
// while it removes it: they are found by their marks and removed.
func TestLostVolume(t *testing.T) {
	b := backend(t)
	if err := b.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	const tag = "seatrial/test-volume:1"
	err := b.engine.build(t.Context(), tag, "a test", entry{"note", 0o644, []byte("kept")}, entry{
		"Dockerfile", 0o644, []byte("FROM scratch\nADD note /data/note\nVOLUME /data\nCMD [\"/nothing\"]\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.engine.removeImage(context.Background(), tag); err != nil {
			t.Error(err)
		}
	})
	e := newEnvironment(b, small(), journal.NewMemory(journal.Header{}), environment.Options{Trial: "volume"})
	defer func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if err := e.openNetwork(t.Context()); err != nil {
		t.Fatal(err)
	}
	made, err := e.make(t.Context(), plain, order{image: tag, files: map[string]string{"a": "b"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := made.archive(t.Context(), "/data/note"); err != nil {
		t.Error("the volume does not hold what its image has there:", err)
	}
	if n := left(t, e.scratch); n != 2 { // container and network; volumes in use go with the first
		t.Errorf("%d things of it are in the engine, want 2", n)
	}
	_, err = b.engine.client.ContainerRemove(t.Context(), made.id, client.ContainerRemoveOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := left(t, e.scratch); n != 3 { // two volumes, network
		t.Errorf("%d things of it are in the engine, want 3", n)
	}
	if err := b.engine.clear(t.Context(), e.scratch); err != nil {
		t.Error(err)
	}
	if n := left(t, e.scratch); n != 0 {
		t.Errorf("%d things of it are left in the engine", n)
	}
}

// TestWatcherFindsEngine has the watcher of a dead trial find the engine that the
// trial had, which an environment variable names.
func TestWatcherFindsEngine(t *testing.T) {
	f := &fakeEngine{containers: []container.Summary{{ID: "c1"}}}
	t.Setenv("DOCKER_HOST", listen(t, f))
	t.Setenv(ryukDisabled, "true")
	w, err := watcher.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	err = w.Use(cleaner)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	removed, _ := f.heard()
	if diff := cmp.Diff([]string{"containers c1"}, removed); diff != "" {
		t.Error(diff)
	}
}
