package detect

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Exposure asks whether the service shows its inside on its own port alone
// (D92): /debug/pprof/ and /debug/vars are answered by 404 or 401 (or 403) on
// the port of the traffic, and by 200 on another one, where profiles can be had;
// and in a container nothing listens on a port that the subject does not name,
// nor does the image expose one.
//
// It needs a debug_endpoints step; what listens is seen in a container step.
type Exposure struct{}

var _ = register(Info{
	Kind: "exposure", ID: "D92", Checklist: []string{"8.1", "11.4"}, Class: Safety,
	Summary: "profiles are to be had on the admin port, and nowhere else",
}, func() Detector { return &Exposure{} })

// hidden are the answers of an endpoint that is not to be had there.
var hidden = []int{401, 403, 404}

// Detect judges the answers and the listeners.
func (x *Exposure) Detect(j journal.Journal) Finding {
	d := open("exposure")
	asked, public, silent, profiles, ports := 0, 0, 0, 0, map[string]bool{}
	for e, a := range journal.Of[journal.Answer](j) {
		asked++
		public += one(a.Public)
		ports[a.Port] = true
		switch {
		case a.Code == 0:
			silent++
			d.doubt("port %s of %s did not answer %s: %s", a.Port, e.On, a.Path, a.Err)
		case a.Public && !slices.Contains(hidden, a.Code):
			d.point(seen(e, "port %s: %s answered %d", a.Port, a.Path, a.Code))
			d.against("promised to show its inside on the admin port alone; on its public port %s, %s is answered %d: "+
				"serve a ServeMux of its own there, not http.DefaultServeMux", a.Port, a.Path, a.Code)
		case !a.Public && a.Code == 200 && strings.Contains(a.Path, "/pprof/"):
			profiles++
		}
	}
	d.add(bounded("endpoints_shown", float64(len(d.problems)), "1", "<=", 0, asked))
	switch {
	case asked == 0:
		d.doubt("nobody asked for debug endpoints: the method has no debug_endpoints step")
	case profiles == 0 && silent > 0: // where they may be
	case profiles == 0 && len(ports) > 1:
		d.against("promised that profiles are to be had on an admin port; none of its other ports answers /debug/pprof/ " +
			"with 200")
	case profiles == 0:
		d.note("the service has one port, so that no profile is to be had")
	}
	if asked > 0 && public == 0 {
		d.doubt("the public port was not asked for debug endpoints, so whether it shows any is not known")
	}
	x.listeners(d, j)
	return d.close("%d questions for debug endpoints: none is answered on the public port, profiles are on the admin port",
		asked)
}

// listeners holds what listens against what the subject names.
func (x *Exposure) listeners(d *docket, j journal.Journal) {
	var declared []int
	for e, c := range journal.Of[journal.Confined](j) {
		declared = c.Declared
		if !c.Seen || !c.Ready {
			continue
		}
		for _, address := range c.Listening {
			host, text, _ := net.SplitHostPort(address)
			port, _ := strconv.Atoi(text)
			if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() || slices.Contains(c.Declared, port) {
				continue
			}
			d.point(seen(e, "listens on %s", address))
			d.against("it listens on %s, a port that the subject does not name", address)
		}
		d.add(measured("listeners", float64(len(c.Listening)), "1", 1))
	}
	for e, i := range journal.Of[journal.Image](j) {
		for _, port := range i.Exposed {
			if len(declared) > 0 && !slices.Contains(declared, port) {
				d.point(seen(e, "EXPOSE %d", port))
				d.against("the image exposes port %d, which the subject does not name", port)
			}
		}
	}
}
