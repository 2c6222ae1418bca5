package subject

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/yamlfile"
)

// nameRule is what the names of subjects, dependencies and ports must look
// like: they become parts of references, database names and file names.
var nameRule = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)

const nameExpected = "a name of small letters, digits, - and _ that begins with a letter, 40 at most"

// checker holds a subject against the rules that types cannot say.
type checker struct {
	*Subject
	d *yamlfile.Document
}

func (s *Subject) check(d *yamlfile.Document) {
	c := checker{s, d}
	c.head()
	c.service()
	c.texts()
	c.next()
	c.dependencies()
	c.traffic()
	c.promises()
}

func (c checker) wrong(at string, expected, format string, args ...any) {
	c.d.Mistake(at, fmt.Sprintf(format, args...), expected)
}

func (c checker) oneOf(at, value string, choices ...string) {
	if !slices.Contains(choices, value) {
		c.wrong(at, yamlfile.Nearest(value, choices), "unknown value %q", value)
	}
}

func (c checker) head() {
	if c.d.Has("version") && c.Version != FileVersion {
		c.wrong("version", "1", "version %d of the subject file is not known to this seatrial", c.Version)
	}
	if c.d.Has("name") && !nameRule.MatchString(c.Name) {
		c.wrong("name", nameExpected, "bad name %q", c.Name)
	}
	c.oneOf("environment", c.Environment, Environments()...)
}

func (c checker) service() {
	s := c.Service
	switch {
	case !c.d.Has("service"):
	case s.Build == nil && len(s.Command) == 0 && !s.Container.made():
		c.wrong("service", "build: {package: ./cmd/…} or command: […]", "the service has neither build nor command")
	case s.Build != nil && len(s.Command) > 0:
		c.wrong("service.command", "one of them", "the service has both build and command")
	}
	c.container("service.container", s.Container)
	if len(s.Command) > 0 && len(s.Args) > 0 {
		c.wrong("service.args", "them in command", "args belong to a service that is built")
	}
	if s.Build != nil && strings.TrimSpace(s.Build.Package) == "" && c.d.Has("service.build.package") {
		c.wrong("service.build.package", "a package such as ./cmd/orders", "no package")
	}
	for i, b := range s.Before {
		if len(b.Run) == 0 && c.d.Has(fmt.Sprintf("service.before[%d].run", i)) {
			c.wrong(fmt.Sprintf("service.before[%d].run", i), "a command and its arguments", "nothing to run")
		}
	}
	if s.StartWithin <= 0 {
		c.wrong("service.start_within", "a time such as 30s", "the service is given no time to start")
	}
	c.ports()
	c.endpoint("service.readiness", s.Readiness)
	c.endpoint("service.liveness", s.Liveness)
	c.endpoint("service.startup", s.Startup)
	c.endpoint("service.metrics", s.Metrics)
	c.oneOf("service.stop.signal", s.Stop.Signal, "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2")
	c.oneOf("service.balancer.mode", s.Balancer.Mode, "tcp", "http")
	if s.Balancer.Failures < 1 {
		c.wrong("service.balancer.failures", "1 or more", "%d failures", s.Balancer.Failures)
	}
}

func (c checker) container(at string, made Container) {
	if made.Image != "" && made.Dockerfile != "" {
		c.wrong(at+".image", "one of them", "the container has both image and dockerfile")
	}
}

// maxReplicas is how many copies one machine is asked to run at the most: each
// has ports of its own and is asked for readiness many times a second.
const maxReplicas = 50

func (c checker) ports() {
	s := c.Service
	if s.Replicas < 1 || s.Replicas > maxReplicas {
		c.wrong("service.replicas", fmt.Sprintf("1 to %d", maxReplicas), "%d replicas", s.Replicas)
	}
	if len(s.Ports) == 0 {
		c.wrong("service.ports", "{http: 0}", "the service has no port")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Ports)) {
		port, at := s.Ports[name], "service.ports."+name
		if !nameRule.MatchString(name) {
			c.wrong(at, nameExpected, "bad name %q", name)
		}
		if port < 0 || port > 65535 {
			c.wrong(at, "0, or a port from 1 to 65535", "port %d", port)
		}
		if port != 0 && s.Replicas > 1 && c.Environment != "docker" {
			c.wrong(at, "0 here, or replicas: 1", "%d replicas cannot share the fixed port %d", s.Replicas, port)
		}
	}
}

func (c checker) port(at, name string) {
	if _, ok := c.Service.Ports[name]; !ok && len(c.Service.Ports) > 0 {
		c.wrong(at, yamlfile.Nearest(name, slices.Collect(maps.Keys(c.Service.Ports))),
			"the service has no port called %q", name)
	}
}

func (c checker) endpoint(at string, e Endpoint) {
	switch {
	case e.Path == "" && e.Port != "":
		c.wrong(at, "a path such as /readyz", "an endpoint without a path")
	case e.Path == "":
	case !strings.HasPrefix(e.Path, "/"):
		c.wrong(at+".path", "a path that begins with /", "bad path %q", e.Path)
	}
	if e.Port != "" {
		c.port(at+".port", e.Port)
	}
}

// next holds the version to come against the same rules.
func (c checker) next() {
	n := c.Next
	if n == nil {
		return
	}
	if n.Build != nil && len(n.Command) > 0 {
		c.wrong("next.command", "one of them", "the next version has both build and command")
	}
	if n.Build == nil && len(n.Command) == 0 && n.Dir == "" && len(n.Env) == 0 && len(n.Migrate) == 0 &&
		!n.Container.made() && len(n.Container.Args) == 0 && n.Container.Target == "" {
		c.wrong("next", "build, container, command, dir, env or migrate", "the next version is the present one")
	}
	c.container("next.container", n.Container)
	c.list("next.args", n.Args, true)
	c.list("next.command", n.Command, true)
	c.values("next.env", n.Env, true)
	for i, m := range n.Migrate {
		at := fmt.Sprintf("next.migrate[%d]", i)
		if len(m.Run) == 0 && c.d.Has(at+".run") {
			c.wrong(at+".run", "a command and its arguments", "nothing to run")
		}
		c.list(at+".run", m.Run, false)
		c.values(at+".env", m.Env, false)
	}
	if f := n.Fill; f != nil {
		if c.d.Has("next.fill.dependency") && c.dependency("next.fill.dependency", f.Dependency) {
			if dep, _ := c.Dependency(f.Dependency); dep.Kind != Postgres {
				c.wrong("next.fill.dependency", "a dependency of kind postgres", "%s is of kind %s", dep.Name, dep.Kind)
			}
		}
		if c.d.Has("next.fill.sql") && !strings.Contains(f.SQL, RowsReference) {
			c.wrong("next.fill.sql", "generate_series(1, ${rows})", "the statement does not say ${rows}")
		}
	}
}

// RowsReference stands for the number of rows in the statement of a fill.
const RowsReference = "${rows}"

// texts looks through everything of the service that may hold references.
func (c checker) texts() {
	s := c.Service
	c.list("service.args", s.Args, true)
	c.list("service.command", s.Command, true)
	c.values("service.env", s.Env, true)
	c.values("service.files", s.Files, true)
	for i, b := range s.Before {
		at := fmt.Sprintf("service.before[%d]", i)
		c.list(at+".run", b.Run, false)
		c.values(at+".env", b.Env, false)
	}
}

func (c checker) list(at string, texts []string, ofReplica bool) {
	for i, text := range texts {
		c.checkReferences(c.d, yamlfile.Index(at, i), text, ofReplica)
	}
}

func (c checker) values(at string, texts map[string]string, ofReplica bool) {
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		c.checkReferences(c.d, yamlfile.Join(at, name), texts[name], ofReplica)
	}
}

// own are the keys that only one kind of dependency has.
var own = map[string]string{
	"bin": Postgres, "migrations": Postgres, "database": Postgres, "user": Postgres,
	"durable": Postgres, "settings": Postgres, "wire": Postgres, "routes": HTTP,
	"request_id": HTTP, "idempotency_key": HTTP,
	"admin_url": Postgres, "service_url": Postgres, "disruptive": Postgres, "restart": Postgres,
	"port": TCP, "env": TCP, "run": TCP,
}

// reserved are names that references use for something else.
var reserved = []string{"port", "replica", "replicas", "dir", "scratch", "listen", "env", "file"}

// kinds are those that a dependency can have.
var kinds = []string{Postgres, Redis, HTTP, TCP}

func (c checker) dependencies() {
	for _, dep := range c.Dependencies {
		at := yamlfile.Join("dependencies", dep.Name)
		switch {
		case !nameRule.MatchString(dep.Name):
			c.wrong(at, nameExpected, "bad name %q", dep.Name)
		case slices.Contains(reserved, dep.Name):
			c.wrong(at, "another name", "%q has a meaning of its own in references and steps", dep.Name)
		case slices.Contains(kinds, dep.Name) && slices.Contains(kinds, dep.Kind) && dep.Name != dep.Kind:
			c.wrong(at, "another name", "a dependency of kind %s called %q", dep.Kind, dep.Name)
		}
		if c.d.Has(at + ".kind") {
			c.oneOf(at+".kind", dep.Kind, kinds...)
		}
		if !slices.Contains(kinds, dep.Kind) {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(own)) {
			if kind := own[key]; c.d.Has(at+"."+key) && kind != dep.Kind {
				c.wrong(at+"."+key, "it to be left out", "%s is for kind %s, and %s is of kind %s", key, kind, dep.Name, dep.Kind)
			}
		}
		if c.d.Has(at + ".wire.tls") {
			c.oneOf(at+".wire.tls", dep.Wire.TLS, TLSRefused, TLSAnswered)
		}
		if dep.Kind == HTTP && dep.Image != "" {
			c.wrong(at+".image", "it to be left out", "the agent itself answers for %s, of kind http", dep.Name)
		}
		c.header(at+".request_id", dep.RequestID)
		c.header(at+".idempotency_key", dep.IdempotencyKey)
		c.address(at, dep)
		c.routes(at+".routes", dep.Routes)
	}
}

func (c checker) address(at string, dep Dependency) {
	if dep.Kind == Postgres {
		c.external(at, dep)
		return
	}
	if dep.Kind != TCP {
		if c.d.Has(at + ".address") {
			c.wrong(
				at+".address",
				"it to be left out",
				"address is for kinds tcp and postgres, and %s is of kind %s",
				dep.Name,
				dep.Kind,
			)
		}
		return
	}
	if dep.Image != "" {
		if dep.Port < 1 || dep.Port > 65535 {
			c.wrong(at, "port: 1 to 65535", "%s runs an image, and its port is %d", at, dep.Port)
		}
		return
	}
	if dep.Address == "" {
		c.wrong(at, "address: host:port", "missing address in %s", at)
		return
	}
	if _, _, err := net.SplitHostPort(dep.Address); err != nil {
		c.wrong(at+".address", "host:port", "bad address %q", dep.Address)
	}
}

func (c checker) routes(at string, routes []Route) {
	seen, mux := map[string]bool{}, http.NewServeMux()
	for i, r := range routes {
		path := yamlfile.Index(at, i)
		if r.Status < 100 || r.Status > 599 {
			c.wrong(path+".status", "100 to 599", "status %d", r.Status)
		}
		if r.Path != "" && !strings.HasPrefix(r.Path, "/") {
			c.wrong(path+".path", "a path that begins with /", "bad path %q", r.Path)
		} else if r.Handle(mux, http.NotFoundHandler()) != nil {
			c.wrong(path+".path", "a pattern such as /charges/{id}, each once",
				"bad pattern %q, or one that another route has", r.Pattern())
		}
		if seen[r.Name] {
			c.wrong(path, "another name", "two routes are called %q", r.Name)
		}
		c.headers(path+".headers", r.Headers)
		if _, err := ParseBody(r.Body, nil); err != nil {
			c.wrong(path+".body", "a template with .JSON, .PathValue, uuid and the like", "%v", err)
		}
		seen[r.Name] = true
	}
}

// promises must be above zero where zero has no meaning.
func (c checker) promises() {
	p := c.Promises
	for _, f := range yamlfile.Fields(reflect.TypeFor[journal.Promises]()) {
		at := "promises." + f.Name
		v := reflect.ValueOf(p).FieldByIndex(f.Index)
		if c.d.Has(at) && v.CanInt() && v.Int() <= 0 && f.Name != "drain_delay" {
			c.wrong(at, "more than zero, or to leave it out", "a promise of %v", v.Interface())
		}
	}
	if p.SuccessRatio <= 0 || p.SuccessRatio > 1 {
		c.wrong("promises.success_ratio", "a ratio above 0 and up to 1", "a ratio of %v", p.SuccessRatio)
	}
	if p.Drain != "" {
		c.oneOf("promises.drain", p.Drain, "self", "prestop")
	}
}

// made reports whether the container comes from an image or a Dockerfile.
func (c Container) made() bool { return c.Image != "" || c.Dockerfile != "" }

// checkPaths looks whether the folders and files that the subject names exist.
func (s *Subject) checkPaths(d *yamlfile.Document) {
	exists := func(at, path, expected string, folder bool) {
		info, err := os.Stat(path) //nolint:gosec // the owner's own file names it
		if err != nil || folder && !info.IsDir() {
			d.Mistake(at, "there is no "+expected+" "+path, "a path that starts from "+s.Dir)
		}
	}
	if d.Has("service.dir") {
		exists("service.dir", s.Path(s.Service.Dir), "folder", true)
	}
	if b := s.Service.Build; b != nil && b.Overlay != "" {
		exists("service.build.overlay", s.Path(b.Overlay), "file", false)
	}
	if c := s.Service.Container; c.Dockerfile != "" {
		exists("service.container.dockerfile", filepath.Join(s.Path(s.Service.Dir), c.Dockerfile), "file", false)
	}
	if s.Next != nil && s.Next.Container.Dockerfile != "" {
		next := s.AsNext().Service
		exists("next.container.dockerfile", filepath.Join(s.Path(next.Dir), next.Container.Dockerfile), "file", false)
	}
	for _, dep := range s.Dependencies {
		if dep.Migrations != "" {
			exists("dependencies."+dep.Name+".migrations", s.Path(dep.Migrations), "folder", true)
		}
		if dep.Bin != "" {
			exists("dependencies."+dep.Name+".bin", s.Path(dep.Bin), "folder", true)
		}
	}
	for i, e := range s.Experiments {
		if d.Has("experiments") {
			exists(yamlfile.Index("experiments", i), s.Path(e), "file or folder", false)
		}
	}
}
