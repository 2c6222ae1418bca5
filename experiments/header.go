package experiments

import (
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// RunInfo is what a journal's header says of one run beyond its plan.
type RunInfo struct {
	Trial, Run  string
	Attempt     int // from 1
	Started     time.Time
	Version     string // of seatrial
	Environment string // the backend's name
	// LoadFrom is when the load is to start. A plan counts from there: zero
	// when that is also the run's start.
	LoadFrom journal.Instant
}

// LoadFor is how long the ordinary load lasts by plan; zero when there is none.
func (p *Plan) LoadFor() time.Duration {
	if p.Rate == 0 {
		return 0
	}
	return p.SteadyFor + p.MethodFor + p.RecoverFor
}

// Header is the head of a journal of a run of the plan.
func (p *Plan) Header(r RunInfo) journal.Header {
	h := journal.Header{
		Format: journal.Format, Trial: r.Trial, Run: r.Run, Experiment: p.Name, Attempt: r.Attempt,
		Seed: p.Seed, Started: r.Started, Service: p.Subject.Name, Version: r.Version,
		Environment: r.Environment, Target: p.Target,
		Replicas:     ReplicaNames(p.Subject, p.Subject.Service.Replicas),
		Dependencies: []journal.DependencyInfo{}, Method: []journal.PlannedStep{},
		Routes: p.routes(), Promises: p.Subject.Promises, Defaults: p.Subject.Defaults,
		LoadFrom: r.LoadFrom, LoadFor: p.LoadFor(), Rate: p.Rate, Balancer: p.Subject.Service.Balancer.Mode,
		TraceFormat: journal.TraceFormat(p.Subject.Traffic.Trace),
	}
	h.Endpoints = endpoints(p.Subject.Service)
	for _, d := range p.Subject.Dependencies {
		info := journal.DependencyInfo{Name: d.Name, Kind: d.Kind, Soft: d.Soft}
		if d.RequestID != journal.RequestIDHeader {
			info.RequestID = d.RequestID
		}
		h.Dependencies = append(h.Dependencies, info)
	}
	for _, s := range p.Steps {
		planned := s.PlannedStep
		planned.At = planned.At.Add(r.LoadFrom.Duration())
		h.Method = append(h.Method, planned)
	}
	return h
}

// endpoints are those of the service's health that it has.
func endpoints(s subject.Service) []string {
	names := []string{}
	for _, e := range []struct {
		name string
		at   subject.Endpoint
	}{{journal.Readiness, s.Readiness}, {journal.Liveness, s.Liveness}, {journal.Startup, s.Startup}} {
		if e.at.Path != "" {
			names = append(names, e.name)
		}
	}
	return names
}

// routes describes the subject's traffic, all of it: steps may use more of it
// than the load does.
func (p *Plan) routes() []journal.Route {
	requests := p.Subject.Traffic.Requests
	total := 0.0
	for _, r := range requests {
		total += r.Weight
	}
	routes := make([]journal.Route, len(requests))
	for i, r := range requests {
		routes[i] = journal.Route{
			Name: r.Name, Method: r.Method, Path: r.Path, Weight: r.Weight / total,
			Retryable: r.Retryable != nil && *r.Retryable, Write: r.Write != nil,
			Uses: r.Uses, UnreadBody: r.UnreadBody, Large: r.Large, Panics: r.Panics,
		}
	}
	return routes
}
