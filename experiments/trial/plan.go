package trial

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/loadgen"
)

// savedPlan is a plan in run.json: what makes the same plan again (experiment,
// subject and seed), and beside it, for the reader, what it came to.
type savedPlan struct {
	Name       string                `json:"name"`
	Target     string                `json:"target,omitempty"`
	Seed       uint64                `json:"seed"`
	Experiment string                `json:"experiment"` // as a file
	Subject    savedSubject          `json:"subject"`
	Steps      []journal.PlannedStep `json:"steps"`
	Rate       float64               `json:"rate"`
	SteadyFor  time.Duration         `json:"steady_for"`
	MethodFor  time.Duration         `json:"method_for"`
	RecoverFor time.Duration         `json:"recover_for"`
	SettleFor  time.Duration         `json:"settle_for"`
}

// savedSubject is what of a subject a plan is made from. What may hold a
// secret is not in it: environment, files, commands, headers, bodies.
type savedSubject struct {
	Name         string            `json:"name"`
	Environment  string            `json:"environment,omitempty"`
	Replicas     int               `json:"replicas"`
	Ports        map[string]int    `json:"ports,omitempty"`
	Stop         subject.Stop      `json:"stop"`
	Balancer     subject.Balancer  `json:"balancer"`
	Readiness    subject.Endpoint  `json:"readiness"`
	Liveness     subject.Endpoint  `json:"liveness"`
	Metrics      subject.Endpoint  `json:"metrics"`
	Dependencies []savedDependency `json:"dependencies,omitempty"`
	Next         *savedNext        `json:"next,omitempty"`
	Traffic      savedTraffic      `json:"traffic"`
	Promises     journal.Promises  `json:"promises"`
	Defaults     []string          `json:"defaults,omitempty"`
}

// savedNext says what there is of a next version, and nothing of what is in it.
type savedNext struct {
	Migrates bool `json:"migrates,omitempty"`
	Fills    bool `json:"fills,omitempty"`
}

type savedDependency struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	Soft bool   `json:"soft,omitempty"`
}

type savedTraffic struct {
	Rate     float64         `json:"rate"`
	Timeout  time.Duration   `json:"timeout"`
	Port     string          `json:"port,omitempty"`
	Requests []savedRequest  `json:"requests"`
	Ledger   *loadgen.Ledger `json:"ledger,omitempty"`
	Callers  int             `json:"callers,omitempty"` // how many there are
	Register bool            `json:"register,omitempty"`
}

type savedRequest struct {
	Name       string             `json:"name"`
	Weight     float64            `json:"weight"`
	Method     string             `json:"method"`
	Path       string             `json:"path"`
	Success    []string           `json:"success,omitempty"`
	Retryable  *bool              `json:"retryable,omitempty"`
	Uses       []string           `json:"uses,omitempty"`
	UnreadBody bool               `json:"unread_body,omitempty"`
	Body       bool               `json:"body,omitempty"` // that it has one
	Large      bool               `json:"large,omitempty"`
	Panics     bool               `json:"panics,omitempty"`
	Write      *loadgen.WriteRule `json:"write,omitempty"`
}

func savePlan(p *experiments.Plan) (json.RawMessage, error) {
	text, err := experiments.Marshal(p.Experiment)
	if err != nil {
		return nil, err
	}
	saved := savedPlan{
		Name: p.Name, Target: p.Target, Seed: p.Seed, Experiment: string(text), Subject: saveSubject(p.Subject),
		Rate: p.Rate, SteadyFor: p.SteadyFor, MethodFor: p.MethodFor, RecoverFor: p.RecoverFor, SettleFor: p.SettleFor,
	}
	for _, s := range p.Steps {
		saved.Steps = append(saved.Steps, s.PlannedStep)
	}
	return json.Marshal(saved)
}

func saveSubject(s *subject.Subject) savedSubject {
	v := s.Service
	saved := savedSubject{
		Name: s.Name, Environment: s.Environment, Replicas: v.Replicas, Ports: v.Ports, Stop: v.Stop,
		Balancer: v.Balancer, Readiness: v.Readiness, Liveness: v.Liveness, Metrics: v.Metrics,
		Promises: s.Promises, Defaults: s.Defaults,
		Traffic: savedTraffic{
			Rate: s.Traffic.Rate, Timeout: s.Traffic.Timeout, Port: s.Traffic.Port, Ledger: s.Traffic.Ledger,
			Register: s.Traffic.Register != nil,
		},
	}
	if n := s.Next; n != nil {
		saved.Next = &savedNext{Migrates: len(n.Migrate) > 0, Fills: n.Fill != nil}
	}
	for _, d := range s.Dependencies {
		saved.Dependencies = append(saved.Dependencies, savedDependency{d.Name, d.Kind, d.Soft})
	}
	for _, q := range s.Traffic.Requests {
		saved.Traffic.Requests = append(saved.Traffic.Requests, savedRequest{
			q.Name, q.Weight, q.Method, q.Path, q.Success, q.Retryable, q.Uses, q.UnreadBody, q.Body != "", q.Large, q.Panics,
			q.Write,
		})
	}
	if s.Traffic.Callers != nil {
		saved.Traffic.Callers = len(s.Traffic.Callers.Values)
	}
	return saved
}

// notKept stands for what may hold a secret.
const notKept = "(not kept)"

func (v savedSubject) subject() *subject.Subject {
	s := &subject.Subject{
		Version: subject.FileVersion, Name: v.Name, Environment: v.Environment,
		Promises: v.Promises, Defaults: v.Defaults,
		Service: subject.Service{
			Replicas: v.Replicas, Ports: v.Ports, Stop: v.Stop, Balancer: v.Balancer,
			Readiness: v.Readiness, Liveness: v.Liveness, Metrics: v.Metrics,
		},
		Traffic: loadgen.Traffic{
			Rate: v.Traffic.Rate, Timeout: v.Traffic.Timeout, Port: v.Traffic.Port, Ledger: v.Traffic.Ledger,
		},
	}
	if v.Next != nil {
		s.Next = &subject.Next{}
		if v.Next.Migrates {
			s.Next.Migrate = []subject.Command{{}}
		}
		if v.Next.Fills {
			s.Next.Fill = &subject.Fill{}
		}
	}
	for _, d := range v.Dependencies {
		s.Dependencies = append(s.Dependencies, subject.Dependency{Name: d.Name, Kind: d.Kind, Soft: d.Soft})
	}
	for _, q := range v.Traffic.Requests {
		r := loadgen.Request{
			Name: q.Name, Weight: q.Weight, Method: q.Method, Path: q.Path, Success: q.Success,
			Retryable: q.Retryable, Uses: q.Uses, UnreadBody: q.UnreadBody, Large: q.Large, Panics: q.Panics,
			Write: q.Write,
		}
		if q.Body {
			r.Body = notKept
		}
		s.Traffic.Requests = append(s.Traffic.Requests, r)
	}
	if n := v.Traffic.Callers; n > 0 {
		s.Traffic.Callers = &loadgen.Callers{Header: notKept, Values: slices.Repeat([]string{notKept}, n)}
	}
	if v.Traffic.Register {
		s.Traffic.Register = &loadgen.Register{Key: notKept}
	}
	return s
}

// loadPlan makes the plan again that was saved.
func loadPlan(b json.RawMessage) (*experiments.Plan, error) {
	var saved savedPlan
	if err := json.Unmarshal(b, &saved); err != nil {
		return nil, err
	}
	e, err := experiments.Decode(saved.Name+".yaml", []byte(saved.Experiment))
	if err != nil {
		return nil, err
	}
	plans, err := experiments.NewPlan(e, saved.Subject.subject(), saved.Seed)
	if err != nil {
		return nil, err
	}
	for i := range plans {
		if plans[i].Name == saved.Name {
			return &plans[i], nil
		}
	}
	return nil, fmt.Errorf("the experiment no longer gives a plan called %s", saved.Name)
}
