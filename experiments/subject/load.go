package subject

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/yamlfile"
	"github.com/seatrial/seatrial/loadgen"
)

// Load reads a subject file. The error lists every mistake in it with file,
// line, column, the offending line and what was expected.
func Load(path string) (*Subject, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read subject: %w", err)
	}
	s, d, err := decode(path, b)
	if err != nil {
		return nil, err
	}
	s.checkPaths(d)
	if err := d.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// Decode is [Load] for bytes that are already there; the name stands for the
// file in mistakes, and relative paths start from its folder. Whether folders
// exist is not looked at.
func Decode(name string, b []byte) (*Subject, error) {
	s, _, err := decode(name, b)
	return s, err
}

func decode(name string, b []byte) (*Subject, *yamlfile.Document, error) {
	d, err := yamlfile.Parse(name, b)
	if err != nil {
		return nil, nil, err
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, nil, fmt.Errorf("find the folder of %s: %w", name, err)
	}
	s := &Subject{File: name, Dir: filepath.Dir(abs), Promises: journal.DefaultPromises()}
	d.Required = required
	d.Hooks = map[reflect.Type]func(string, ast.Node, reflect.Value){
		reflect.TypeFor[Dependencies](): func(at string, n ast.Node, into reflect.Value) {
			into.Set(reflect.ValueOf(decodeDependencies(d, at, n)))
		},
		reflect.TypeFor[Detectors](): func(at string, n ast.Node, into reflect.Value) {
			into.Set(reflect.ValueOf(decodeDetectors(d, at, n)))
		},
	}
	d.Decode(s)
	s.Defaults = defaulted(d)
	s.fill(d)
	s.check(d)
	s.expandSecrets(d)
	checker{s, d}.expandURLs()
	if err := d.Err(); err != nil {
		return nil, nil, err
	}
	return s, d, nil
}

// required are the keys without which a part of the file means nothing.
var required = map[reflect.Type][]string{
	reflect.TypeFor[Subject]():           {"version", "name", "service", "traffic"},
	reflect.TypeFor[Build]():             {"package"},
	reflect.TypeFor[Command]():           {"run"},
	reflect.TypeFor[Dependency]():        {"kind"},
	reflect.TypeFor[loadgen.Traffic]():   {"requests"},
	reflect.TypeFor[loadgen.Request]():   {"name", "path"},
	reflect.TypeFor[loadgen.WriteRule](): {"key"},
	reflect.TypeFor[loadgen.Callers]():   {"header", "values"},
	reflect.TypeFor[Fill]():              {"dependency", "sql"},
	reflect.TypeFor[loadgen.ReadRoute](): {"path"},
}

// decodeDependencies reads the mapping of names to dependencies in the file's
// order.
func decodeDependencies(d *yamlfile.Document, at string, n ast.Node) Dependencies {
	entries, ok := d.Entries(at, n)
	if !ok {
		d.MistakeAt(n, at+" is no mapping", "a mapping of names to dependencies")
		return nil
	}
	deps := make(Dependencies, 0, len(entries))
	for _, e := range entries {
		path := yamlfile.Join(at, e.Key)
		d.Place(path, e.KeyNode, e.Value)
		dep := Dependency{}
		d.Node(path, e.Value, reflect.ValueOf(&dep).Elem())
		dep.Name = e.Key
		deps = append(deps, dep)
	}
	return deps
}

// defaulted names the promises that the file does not state.
func defaulted(d *yamlfile.Document) []string {
	var names []string
	for _, f := range yamlfile.Fields(reflect.TypeFor[journal.Promises]()) {
		if !d.Has("promises." + f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}

// Path makes a path of the subject file absolute.
func (s *Subject) Path(p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(s.Dir, p)
}

// Dependency returns the dependency of a name.
func (s *Subject) Dependency(name string) (Dependency, bool) {
	i := slices.IndexFunc(s.Dependencies, func(d Dependency) bool { return d.Name == name })
	if i < 0 {
		return Dependency{}, false
	}
	return s.Dependencies[i], true
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// fill puts the documented default into every field that the file leaves open.
func (s *Subject) fill(d *yamlfile.Document) {
	setDefault(&s.Environment, "process")
	setDefault(&s.Images.Toxiproxy, os.Getenv(ToxiproxyNaming))
	s.Service.fill(d)
	t := &s.Traffic
	setDefault(&t.RequestID, journal.RequestIDHeader)
	for i := range s.Dependencies {
		s.Dependencies[i].fill(t.RequestID)
	}
	if !d.Has("traffic.rate") {
		t.Rate = 50
	}
	setDefault(&t.Port, "http")
	within := s.Promises.AnswersWithin
	setDefault(&t.Timeout, min(within+time.Second, 2*within))
	for i := range t.Setup {
		fillRequest(&t.Setup[i])
	}
	for i := range t.Requests {
		r := &t.Requests[i]
		fillRequest(r)
		if !d.Has(fmt.Sprintf("traffic.requests[%d].weight", i)) {
			r.Weight = 1
		}
	}
	if r := t.Register; r != nil {
		setDefault(&r.Write.Method, "PUT")
		r.Write.Method = strings.ToUpper(r.Write.Method)
	}
	if s.Experiments == nil {
		if info, err := os.Stat(s.Path("experiments")); err == nil && info.IsDir() && hasYAML(s.Path("experiments")) {
			s.Experiments = []string{"experiments"}
		}
	}
}

// hasYAML keeps a Go package that happens to be called experiments from being
// taken for a folder of experiments.
func hasYAML(dir string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*.y*ml"))
	return err == nil && len(files) > 0
}

func fillRequest(r *loadgen.Request) {
	setDefault(&r.Method, "GET")
	r.Method = strings.ToUpper(r.Method)
	if r.Retryable == nil {
		ok := slices.Contains([]string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}, r.Method)
		r.Retryable = &ok
	}
}

func (s *Service) fill(d *yamlfile.Document) {
	setDefault(&s.Dir, ".")
	if !d.Has("service.replicas") {
		s.Replicas = 2
		if slices.ContainsFunc(slices.Collect(maps.Values(s.Ports)), func(p int) bool { return p != 0 }) {
			s.Replicas = 1
		}
	}
	if !d.Has("service.ports") {
		s.Ports = map[string]int{"http": 0}
	}
	if !d.Has("service.start_within") {
		s.StartWithin = 30 * time.Second
	}
	for _, e := range []*Endpoint{&s.Readiness, &s.Liveness, &s.Startup, &s.Metrics} {
		if e.Path != "" {
			setDefault(&e.Port, "http")
		}
	}
	setDefault(&s.Stop.Signal, "SIGTERM")
	setDefault(&s.Stop.Grace, 30*time.Second)
	setDefault(&s.Balancer.Mode, "tcp")
	setDefault(&s.Balancer.Period, 500*time.Millisecond)
	setDefault(&s.Balancer.Failures, 2)
	for i := range s.Before {
		setDefault(&s.Before[i].Within, time.Minute)
	}
}

func (d *Dependency) fill(requestID string) {
	switch d.Kind {
	case Postgres:
		if d.External() {
			return
		}
		setDefault(&d.Database, "app")
		setDefault(&d.User, "app_service")
	case HTTP:
		setDefault(&d.RequestID, requestID)
		setDefault(&d.IdempotencyKey, journal.IdempotencyKeyHeader)
		for i := range d.Routes {
			r := &d.Routes[i]
			setDefault(&r.Status, 200)
			setDefault(&r.Name, strings.TrimSpace(r.Method+" "+r.Path))
			setDefault(&r.Name, "any")
		}
	}
}
