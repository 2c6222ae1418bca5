package experiments

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/loadgen"
)

// shippedEnvironment is an environment whose replicas are all at one URL.
type shippedEnvironment struct {
	*fakeEnvironment
	url string
	err error // of Trust
}

func (*shippedEnvironment) Image(context.Context) (journal.Image, error) {
	return journal.Image{Name: "orders:1"}, errors.New("no layers")
}

func (*shippedEnvironment) Confine(context.Context) (journal.Confined, error) {
	return journal.Confined{Ready: true}, nil
}

func (c *shippedEnvironment) Trust(
	ctx context.Context, known bool, ask environment.Ask,
) (map[string]journal.Trust, error) {
	ask(ctx, func(port string) string { return c.url + "/" + port })
	return map[string]journal.Trust{"payments": {Known: known, Connections: 1}}, c.err
}

// TestContainerProbe sends what needs the dependency, and nothing that writes,
// needs earlier answers or something else.
func TestContainerProbe(t *testing.T) {
	var sent atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/http/quotes" || r.Header.Get("Authorization") != "yes" {
			t.Errorf("asked for %s with %v", r.URL.Path, r.Header)
		}
		sent.Add(1)
	}))
	defer server.Close()
	x, env, load, m := fakes()
	e := &shippedEnvironment{fakeEnvironment: env, url: server.URL}
	x.Environment = e
	x.Plan.Subject.Name = "orders"
	x.Plan.Subject.Dependencies = subject.Dependencies{
		{Name: "db", Kind: subject.Postgres}, {Name: "payments", Kind: subject.HTTP},
	}
	uses := []string{"payments"}
	x.Plan.Subject.Traffic.Requests = []loadgen.Request{
		{Name: "quote", Uses: uses},
		{Name: "place", Uses: uses, Write: &loadgen.WriteRule{}},
		{Name: "get", Uses: []string{"db"}},
		{Name: "picks", Uses: uses},
	}
	load.targets = map[string]loadgen.Target{
		"quote": {Route: "quote", Method: "POST", Path: "/quotes", Header: http.Header{"Authorization": {"yes"}}},
		"picks": {Route: "another", Method: "GET", Path: "/no"},
	}
	a := &Container{}
	errorIs(t, a.Witness(m, "", journal.Window{}), "nobody looked")
	errorIs(t, carryOut(t, a, x), "")
	errorIs(t, a.Witness(m, "", journal.Window{}), "")
	if sent.Load() != 2*trustAsks {
		t.Errorf("%d requests were sent, want %d", sent.Load(), 2*trustAsks)
	}
	got := map[bool]journal.Trust{}
	for entry, v := range journal.Of[journal.Trust](m) {
		if entry.On != "payments" {
			t.Errorf("an entry about %s", entry.On)
		}
		got[v.Known] = v
	}
	want := map[bool]journal.Trust{
		true: {Known: true, Asked: trustAsks, Connections: 1}, false: {Asked: trustAsks, Connections: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, i := range journal.Of[journal.Image](m) {
		if i.Err != "no layers" {
			t.Errorf("the image's error is %q", i.Err)
		}
	}
	e.err = errors.New("no port")
	errorIs(t, carryOut(t, a, x), "no port")
	x.Environment = env
	errorIs(t, carryOut(t, a, x), "no containers")
}
