package detect

import (
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Container asks whether the service's image and its container give an intruder
// as little as possible, and the platform what it needs (D93): no superuser; a
// root that need not be written and no capabilities; no shell and no package
// manager; the certificates of the authorities it trusts; no secret in any
// layer; a first process that hears the stop signal. An image above 100 MB is
// remarked on.
//
// It needs a container step, which reads the image and starts one more replica
// under these restrictions, beside the others.
type Container struct {
	// LargestMB is the size, in millions of bytes, above which a remark is made.
	// Default 100.
	LargestMB float64 `json:"largest_mb,omitempty" yaml:"largest_mb"`
}

var _ = register(Info{
	Kind: "container", ID: "D93", Checklist: []string{"2.3", "11.2", "11.3", "11.5"}, Class: Safety,
	Summary: "the image holds no more than it must, and runs without rights that it does not need",
}, func() Detector { return &Container{LargestMB: 100} })

// Detect judges the image and the confined replica.
func (c *Container) Detect(j journal.Journal) Finding {
	d := open("container")
	images, confined := 0, 0
	for e, i := range journal.Of[journal.Image](j) {
		images++
		c.image(d, e, i)
	}
	for e, r := range journal.Of[journal.Confined](j) {
		confined++
		confinedReplica(d, e, r)
	}
	for e, t := range journal.Of[journal.Trust](j) {
		trusts(d, e, t)
	}
	if images == 0 || confined == 0 {
		d.doubt("nobody looked at the service's container: the method has no container step")
	}
	return d.close("the image has no shell, no secret and the certificates it needs; it runs as another user than root, " +
		"with a root that is not written and without capabilities, and its first process hears the stop signal")
}

func (c *Container) image(d *docket, e journal.Entry, i journal.Image) {
	if i.Err != "" {
		d.doubt("the image %s could not be read: %s", i.Name, i.Err)
		return
	}
	if i.Unread != "" {
		d.doubt("whether secrets are in the image is not known: %s", i.Unread)
	}
	size := float64(i.Bytes) / 1e6
	d.add(measured("image_size", size, "MB", i.Layers),
		bounded("tools", float64(len(i.Tools)), "1", "<=", 0, i.Layers),
		bounded("secrets", float64(len(i.Secrets)), "1", "<=", 0, i.Layers))
	if largest := orDefault(c.LargestMB, 100); size > largest {
		d.note("the image has %.0f MB, above %.0f: a final stage FROM scratch holds the program and its certificates",
			size, largest)
	}
	if superuser(i.User) {
		d.point(seen(e, "USER %q", i.User))
		d.against("promised not to run as root; the image names user %q: give the Dockerfile's last stage a USER of "+
			"another number", i.User)
	}
	if len(i.Tools) > 0 {
		d.point(seen(e, "holds %s", strings.Join(i.Tools, ", ")))
		d.against("promised an image without a shell or package manager; it holds %s: begin its last stage FROM scratch "+
			"or a distroless image", strings.Join(i.Tools, ", "))
	}
	if i.Certificates == "" {
		d.point(seen(e, "no file of certificates"))
		d.against("the image holds no certificates of authorities, so that every call by TLS fails: copy " +
			"/etc/ssl/certs/ca-certificates.crt into it")
	}
	for _, s := range i.Secrets {
		d.point(seen(e, "layer %d %s: %s", s.Layer, s.Path, s.What))
		d.against("promised that no secret is in the image; %s holds %s, and whoever has the image has it, also when a "+
			"later layer removes it", place(s), s.What)
	}
}

func place(s journal.LayerSecret) string {
	if s.Layer == 0 {
		return "its configuration (" + s.Path + ")"
	}
	return s.Path
}

// superuser reports whether an image's USER is root, or nobody's at all.
func superuser(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	return name == "" || name == "0" || name == "root"
}

func confinedReplica(d *docket, e journal.Entry, r journal.Confined) {
	if r.Seen && r.UID == 0 {
		d.point(seen(e, "process 1 (%s) runs as uid 0", r.Program))
		d.against("promised not to run as root; its first process, %s, runs as uid 0", r.Program)
	}
	if neverStarted(r) {
		d.doubt("the confined replica could not be started, which may be the engine's doing: %s", r.Err)
		return
	}
	if !r.Ready {
		d.point(seen(e, "not ready: %s", r.Err))
		d.against("promised to need neither a root that can be written nor capabilities; with --read-only --cap-drop ALL "+
			"it was not ready: %s", r.Err)
		return
	}
	d.add(boundedTime("stops_in", r.Ended, r.Grace, 1))
	if r.Killed {
		d.point(seen(e, "process 1 (%s) went on for %v after the stop signal", r.Program, brief(r.Ended)))
		d.against("promised to hear the stop signal; %s after it, process 1 (%s) had to be killed: write the Dockerfile's "+
			"ENTRYPOINT in its exec form, so that the service itself is process 1",
			brief(r.Ended), orDefault(r.Program, "unknown"))
	}
}

// confinements are words with which a kernel refuses what a confined process may
// not do, such as to execute a file that has capabilities.
var confinements = []string{"not permitted", "permission denied", "read-only file system"}

// neverStarted reports whether a confined replica did not come as far as to be
// waited for, for a reason that is not its confinement.
func neverStarted(r journal.Confined) bool {
	return !r.Ready && r.Took == 0 && !slices.ContainsFunc(confinements, func(words string) bool {
		return strings.Contains(strings.ToLower(r.Err), words)
	})
}

// trusts judges whom a replica trusted in the place of a dependency.
func trusts(d *docket, e journal.Entry, t journal.Trust) {
	switch {
	case t.Asked == 0 && t.Connections == 0 && t.Calls == 0 && t.Err == "":
		d.note("whether %s is asked by TLS as it should be was not tried: no request of the traffic says that it uses it, "+
			"writes nothing, and needs nothing of earlier answers", e.On)
	case t.Known:
		d.add(bounded("tls_calls_"+e.On, float64(t.Calls), "1", ">=", 1, t.Connections))
		if t.Calls == 0 {
			notTrusted(d, e, t)
		}
	default:
		d.add(bounded("tls_calls_to_unknown_"+e.On, float64(t.Calls), "1", "<=", 0, t.Connections))
		switch {
		case t.Calls > 0:
			d.point(seen(e, "%d calls through %d connections", t.Calls, t.Connections))
			d.against("promised to call only whom it can trust; %s got %d calls though its certificate is by an authority that "+
				"nobody knows: take InsecureSkipVerify out of the client's TLS configuration", e.On, t.Calls)
		case t.Connections == 0:
			d.doubt("the service did not call %s while that had the certificate of an unknown authority%s", e.On, notReady(t))
		}
	}
}

// notTrusted tells of a dependency that was not called although its authority is
// known.
func notTrusted(d *docket, e journal.Entry, t journal.Trust) {
	switch {
	case t.Connections == 0:
		d.doubt("the service did not call %s by TLS%s", e.On, notReady(t))
	case t.Added == "":
		d.point(seen(e, "no call through %d connections", t.Connections))
		d.against("promised to call %s by TLS; none of %d connections got past the handshake, since the image holds no file "+
			"of authorities to trust: copy /etc/ssl/certs/ca-certificates.crt into it", e.On, t.Connections)
	default:
		d.point(seen(e, "no call through %d connections, authority in %s", t.Connections, t.Added))
		d.against("promised to call %s by TLS; none of %d connections got past the handshake, though its authority was in "+
			"%s of the image: let the client trust the system's authorities", e.On, t.Connections, t.Added)
	}
}

func notReady(t journal.Trust) string {
	if t.Err == "" {
		return ""
	}
	return "; its replica was not ready: " + t.Err
}
