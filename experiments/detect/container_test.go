package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// containerMade is a journal in which the image was read and a replica confined.
func containerMade(edit func(*journal.Image, *journal.Confined)) func() *made {
	return func() *made {
		m := newMade()
		m.step("confine", "container", "probe", "", 1, 5)
		i := journal.Image{
			Name: "orders:1", User: "65532:65532", Entrypoint: []string{"/orders"}, Exposed: []int{8080, 8081},
			Bytes: 15e6, Layers: 2, Certificates: "/etc/ssl/certs/ca-certificates.crt",
		}
		c := journal.Confined{
			Ready: true, Took: 300 * time.Millisecond, Seen: true, UID: 65532, Program: "orders",
			Listening: []string{"[::]:8080", "[::]:8081"}, Declared: []int{8080, 8081},
			Ended: 2 * time.Second, Grace: 12 * time.Second,
		}
		edit(&i, &c)
		m.at(2, "orders", i)
		m.at(4, "orders", c)
		return m
	}
}

func TestContainer(t *testing.T) {
	for name, tt := range map[string]struct {
		edit    func(*journal.Image, *journal.Confined)
		outcome Outcome
		reason  string
	}{
		"good": {func(*journal.Image, *journal.Confined) {}, Held, "hears the stop signal"},
		"root": {func(i *journal.Image, _ *journal.Confined) { i.User = "" }, Violated, "not to run as root"},
		"zero": {func(i *journal.Image, _ *journal.Confined) { i.User = "0:0" }, Violated, "names user \"0:0\""},
		"uid":  {func(_ *journal.Image, c *journal.Confined) { c.UID = 0 }, Violated, "runs as uid 0"},
		"unseen": {func(_ *journal.Image, c *journal.Confined) {
			c.Seen, c.UID, c.Listening = false, 0, nil
		}, Held, ""},
		"shell": {func(i *journal.Image, _ *journal.Confined) { i.Tools = []string{"/bin/sh"} }, Violated, "holds /bin/sh"},
		"certs": {func(i *journal.Image, _ *journal.Confined) { i.Certificates = "" }, Violated, "call by TLS fails"},
		"secret": {func(i *journal.Image, _ *journal.Confined) {
			i.Secrets = []journal.LayerSecret{{Layer: 2, Path: "/key.pem", What: "a private key"}}
		}, Violated, "/key.pem holds a private key"},
		"env": {func(i *journal.Image, _ *journal.Confined) {
			i.Secrets = []journal.LayerSecret{{Path: "ENV TOKEN", What: "a value for TOKEN"}}
		}, Violated, "its configuration (ENV TOKEN)"},
		"large": {func(i *journal.Image, _ *journal.Confined) { i.Bytes = 250e6 }, Held, "250 MB"},
		"writes": {func(_ *journal.Image, c *journal.Confined) {
			c.Ready, c.Err = false, "read-only file system"
		}, Violated, "read-only file system"},
		"not started": {func(_ *journal.Image, c *journal.Confined) {
			*c = journal.Confined{Err: "start the container: port is already allocated"}
		}, Unknown, "which may be the engine's doing: start"},
		"capabilities": {func(_ *journal.Image, c *journal.Confined) {
			*c = journal.Confined{Err: "start the container: exec /orders: operation not permitted"}
		}, Violated, "operation not permitted"},
		"deaf": {func(_ *journal.Image, c *journal.Confined) {
			c.Killed, c.Program = true, "sh"
		}, Violated, "(sh) had to be killed"},
		"layers": {func(i *journal.Image, _ *journal.Confined) { i.Unread = "no end" }, Unknown, "not known: no end"},
		"unread": {func(i *journal.Image, _ *journal.Confined) { i.Err = "no such image" }, Unknown, "could not be read"},
	} {
		t.Run(name, func(t *testing.T) {
			wants(t, judged(t, "container", containerMade(tt.edit)()), tt.outcome, tt.reason)
		})
	}
	wants(t, judged(t, "container", newMade()), Unknown, "no container step")
}

// trustMade is a journal in which two replicas asked payments by TLS.
func trustMade(edit func(known, unknown *journal.Trust)) func() *made {
	return func() *made {
		m := containerMade(func(*journal.Image, *journal.Confined) {})()
		known := journal.Trust{Known: true, Added: "/etc/ssl/certs/ca-certificates.crt", Asked: 3, Connections: 1, Calls: 3}
		unknown := journal.Trust{Asked: 3, Connections: 9}
		edit(&known, &unknown)
		m.at(4, "payments", known)
		m.at(4, "payments", unknown)
		return m
	}
}

// keepsNone is what becomes of an image without authorities.
func keepsNone(known, _ *journal.Trust) { known.Added, known.Calls, known.Connections = "", 0, 9 }

// believesAll is what becomes of a client that checks no certificate.
func believesAll(_, unknown *journal.Trust) { unknown.Calls, unknown.Connections = 3, 1 }

func TestContainerTrusts(t *testing.T) {
	for name, tt := range map[string]struct {
		edit    func(known, unknown *journal.Trust)
		outcome Outcome
		reason  string
	}{
		"good":        {func(_, _ *journal.Trust) {}, Held, "the certificates it needs"},
		"none":        {keepsNone, Violated, "the image holds no file of authorities to trust"},
		"own pool":    {func(known, _ *journal.Trust) { known.Calls = 0 }, Violated, "was in /etc/ssl/certs"},
		"everybody":   {believesAll, Violated, "InsecureSkipVerify"},
		"not called":  {func(known, _ *journal.Trust) { known.Connections, known.Calls = 0, 0 }, Unknown, "did not call"},
		"not refused": {func(_, unknown *journal.Trust) { unknown.Connections = 0 }, Unknown, "an unknown authority"},
		"not ready": {func(known, _ *journal.Trust) {
			*known = journal.Trust{Known: true, Err: "it exited with status 1"}
		}, Unknown, "it exited with status 1"},
		"everybody, and never answered": {func(known, unknown *journal.Trust) {
			believesAll(known, unknown)
			unknown.Asked = 0
		}, Violated, "InsecureSkipVerify"},
		"nobody, and never answered": {func(known, _ *journal.Trust) {
			known.Asked, known.Calls, known.Connections = 0, 0, 9
		}, Violated, "let the client trust"},
		"nothing to ask": {func(known, unknown *journal.Trust) {
			*known, *unknown = journal.Trust{Known: true}, journal.Trust{}
		}, Held, "was not tried"},
	} {
		t.Run(name, func(t *testing.T) {
			wants(t, judged(t, "container", trustMade(tt.edit)()), tt.outcome, tt.reason)
		})
	}
}

// debugMade is a journal in which two ports were asked.
func debugMade(edit func(*journal.Answer)) func() *made {
	return func() *made {
		m := containerMade(func(*journal.Image, *journal.Confined) {})()
		m.step("debug", "debug_endpoints", "probe", "replica-1", 5, 6)
		for _, a := range []journal.Answer{
			{Port: "admin", Path: "/debug/pprof/", Code: 200, Bytes: 2000},
			{Port: "admin", Path: "/debug/vars", Code: 404},
			{Port: "http", Path: "/debug/pprof/", Code: 404, Public: true},
			{Port: "http", Path: "/debug/vars", Code: 401, Public: true},
		} {
			edit(&a)
			m.at(5.5, "replica-1", a)
		}
		return m
	}
}

func TestExposure(t *testing.T) {
	for name, tt := range map[string]struct {
		edit    func(*journal.Answer)
		outcome Outcome
		reason  string
	}{
		"good": {func(*journal.Answer) {}, Held, "none is answered on the public port"},
		"default mux": {func(a *journal.Answer) {
			if a.Public {
				a.Code = 200
			}
		}, Violated, "/debug/pprof/ is answered 200"},
		"redirect": {func(a *journal.Answer) {
			if a.Public {
				a.Code = 301
			}
		}, Violated, "is answered 301"},
		"no profiles":           {func(a *journal.Answer) { a.Code = 404 }, Violated, "none of its other ports answers"},
		"public port not asked": {func(a *journal.Answer) { a.Public = false }, Unknown, "public port"},
		"silent":                {func(a *journal.Answer) { a.Code = 0 }, Unknown, "did not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			wants(t, judged(t, "exposure", debugMade(tt.edit)()), tt.outcome, tt.reason)
		})
	}
	wants(t, judged(t, "exposure", newMade()), Unknown, "no debug_endpoints step")
	listens := debugMade(func(*journal.Answer) {})()
	listens.at(4.5, "orders", journal.Confined{
		Ready: true, Seen: true, Declared: []int{8080}, Listening: []string{"127.0.0.1:1", "0.0.0.0:6060"},
	})
	wants(t, judged(t, "exposure", listens), Violated, "listens on 0.0.0.0:6060")
}

var (
	_ = madeUpAs("container/held-scratch", makes(trustMade(func(_, _ *journal.Trust) {})))
	_ = madeUpAs("container/violated-no-authorities", makes(trustMade(keepsNone)))
	_ = madeUpAs("container/violated-trusts-everybody", makes(trustMade(believesAll)))
	_ = madeUpAs("container/violated-root", makes(containerMade(func(i *journal.Image, c *journal.Confined) {
		i.User, c.UID = "", 0
	})))
	_ = madeUpAs("container/unknown-not-looked", makes(newMade))
	_ = madeUpAs("exposure/held-admin-only", makes(debugMade(func(*journal.Answer) {})))
	_ = madeUpAs("exposure/violated-default-mux", makes(debugMade(func(a *journal.Answer) {
		if a.Public {
			a.Code = 200
		}
	})))
	_ = madeUpAs("exposure/unknown-not-asked", makes(newMade))
)
