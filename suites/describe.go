package suites

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/onsi/ginkgo/v2"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// Describe registers a subject's trial in an existing Ginkgo suite, while its
// tree is built: an ordered container for each experiment, and in it a spec for
// each expectation, labelled with the experiment's labels and the checklist
// items it speaks to. Containers are serial: a trial wants the machine for
// itself. Only experiments of which a spec is selected are carried out.
//
// A subject that cannot be read is one failing spec.
func Describe(file string, opts ...Option) bool {
	s, err := newSea(file, opts)
	if err != nil {
		return ginkgo.It("reads "+file, func() { ginkgo.Fail(err.Error()) })
	}
	return ginkgo.Describe(s.subject.Name, ginkgo.Serial, ginkgo.Ordered, ginkgo.ContinueOnFailure, func() {
		ginkgo.BeforeAll(func() {
			deadline, has := suiteDeadline()
			if err := s.near(deadline, has); err != nil {
				ginkgo.AbortSuite(err.Error())
			}
		})
		for i := range s.plans {
			s.specs(&s.plans[i])
		}
		ginkgo.AfterAll(func(ctx context.Context) {
			if err := s.end(ctx); err != nil {
				ginkgo.Fail(err.Error())
			}
			if dir := s.dir(); dir != "" {
				ginkgo.AddReportEntry("the trial's folder", dir)
			}
		})
	})
}

// specs registers one experiment.
func (s *sea) specs(p *experiments.Plan) {
	labels := slices.Clone(p.Experiment.Labels)
	ginkgo.Context(p.Name, ginkgo.Label(labels...), func() {
		var tried folder.Experiment
		var failed error
		ginkgo.BeforeAll(func(ctx context.Context) { tried, failed = s.try(ctx, p.Name) })
		for _, kind := range kindsOf(p) {
			info, _ := detect.Describe(kind)
			ginkgo.It(fmt.Sprintf("%s: %s", kind, info.Summary), ginkgo.Label(info.Checklist...), func() {
				if failed != nil {
					ginkgo.Fail(failed.Error())
				}
				judgeSpec(tried, kind)
			})
		}
		ginkgo.It("comes to a verdict", func() {
			if failed != nil {
				ginkgo.Fail(failed.Error())
			}
			concludeSpec(tried)
		})
	})
}

// kindsOf are the detectors that an experiment asks, each once.
func kindsOf(p *experiments.Plan) []string {
	var kinds []string
	for _, e := range p.Experiment.Expect {
		if !slices.Contains(kinds, e.Kind) {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

// judgeSpec passes, skips or fails the spec of one expectation.
func judgeSpec(e folder.Experiment, kind string) {
	if e.Verdict.Outcome == experiments.NotTried {
		ginkgo.Skip(e.Verdict.Reason)
	}
	found := false
	for _, f := range e.Verdict.Findings {
		if f.Detector != kind {
			continue
		}
		found = true
		switch f.Outcome {
		case detect.Held:
		case detect.NotApplicable:
			ginkgo.Skip(f.Reason)
		default:
			ginkgo.Fail(explain(f))
		}
	}
	if !found {
		ginkgo.Fail(fmt.Sprintf("%s %s: %s", e.Name, e.Verdict.Outcome, e.Verdict.Reason))
	}
}

// concludeSpec fails unless the experiment came to a verdict on the service:
// findings that held prove little where others could not be made.
func concludeSpec(e folder.Experiment) {
	switch e.Verdict.Outcome {
	case experiments.Passed, experiments.Failed:
	case experiments.NotTried:
		ginkgo.Skip(e.Verdict.Reason)
	default:
		ginkgo.Fail(fmt.Sprintf("%s %s: %s", e.Name, e.Verdict.Outcome, e.Verdict.Reason))
	}
}

// suiteBegan is when this test binary was started, nearly enough.
var suiteBegan = time.Now()

// suiteDeadline is when Ginkgo's own timeout, or go test's, ends the suite.
func suiteDeadline() (deadline time.Time, has bool) {
	suite, _ := ginkgo.GinkgoConfiguration()
	limit := suite.Timeout
	if f := flag.Lookup("test.timeout"); f != nil {
		if g, ok := f.Value.(flag.Getter); ok {
			if d, ok := g.Get().(time.Duration); ok && d > 0 && (limit == 0 || d < limit) {
				limit = d
			}
		}
	}
	return suiteBegan.Add(limit), limit > 0
}
