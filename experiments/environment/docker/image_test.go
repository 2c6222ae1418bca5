package docker

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/subject"
)

// TestImages names images by the subject, then by the environment, then by what
// is usual.
func TestImages(t *testing.T) {
	t.Setenv(postgresNaming, "")
	t.Setenv(redisNaming, "valkey:8")
	got := Images(&subject.Subject{Dependencies: subject.Dependencies{
		{Name: "db", Kind: subject.Postgres},
		{Name: "other", Kind: subject.Postgres, Image: "timescale:2"},
		{Name: "cache", Kind: subject.Redis},
		{Name: "payments", Kind: subject.HTTP},
		{Name: "queue", Kind: subject.TCP, Image: "nats:2"},
	}})
	want := map[string]string{"db": postgresImage, "other": "timescale:2", "cache": "valkey:8", "queue": "nats:2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
