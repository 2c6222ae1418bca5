package suites

import (
	"context"
	"fmt"
	"slices"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/report"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// Describe registers a subject's trial in an existing Ginkgo suite, while its
// tree is built: an ordered container for each experiment, and in it a spec for
// each expectation, labelled with the experiment's labels and the checklist
// items it speaks to ("3.3"), and one that the experiment came to a verdict at
// all. Containers are serial: with ginkgo -p they run on one process, after
// all else, and as with [Run] they wait for trials of other processes. Only
// experiments of which a spec is selected are carried out.
//
// A violated or unknown finding fails its spec with the finding, where its
// journal is, and the command that does the same again from the same seed; one
// that is not applicable is skipped. A timeout that is too near aborts the
// suite before anything starts. A subject that cannot be read is one failing
// spec.
func Describe(file string, opts ...Option) bool {
	at := types.NewCodeLocation(1)
	s, err := newSea(file, opts)
	if err != nil {
		return ginkgo.It("reads "+file, at, func() { ginkgo.Fail(err.Error()) })
	}
	s.say = func(what string) { ginkgo.GinkgoWriter.Println("preparing: " + what) }
	return ginkgo.Describe(s.subject.Name, at, ginkgo.Serial, ginkgo.Ordered, ginkgo.ContinueOnFailure, func() {
		ginkgo.BeforeAll(s.refuse)
		for i := range s.plans {
			s.context(&s.plans[i], at)
		}
		ginkgo.AfterAll(func(ctx context.Context) {
			if err := s.end(context.WithoutCancel(ctx)); err != nil {
				ginkgo.Fail(err.Error())
			}
			if dir := s.dir(); dir != "" {
				ginkgo.AddReportEntry(fmt.Sprintf("the trial's report is %s; its seed was %d", s.report(), s.options.seed))
			}
		})
	})
}

// refuse aborts the suite where its timeout is too near for what is selected.
func (s *sea) refuse() {
	around := selectionAround(ginkgo.CurrentSpecReport(), containers)
	need := s.needs(func(p *experiments.Plan) bool {
		return slices.ContainsFunc(specsOf(p), func(x spec) bool {
			return around.keeps(slices.Concat(p.Experiment.Labels, x.labels), s.subject.Name, p.Name, x.text)
		})
	})
	deadline, has := suiteDeadline()
	if err := s.near(deadline, has, need); err != nil {
		ginkgo.AbortSuite(err.Error())
	}
}

// containers is how many Describe puts around a spec.
const containers = 2

// spec is one of an experiment's.
type spec struct {
	kind   string // of the detector; empty for the verdict's
	text   string
	labels []string
}

// specsOf are an experiment's specs: one for each kind of detector that it
// asks, and one for its verdict.
func specsOf(p *experiments.Plan) []spec {
	var specs []spec
	for _, e := range p.Experiment.Expect {
		if slices.ContainsFunc(specs, func(x spec) bool { return x.kind == e.Kind }) {
			continue
		}
		info, _ := detect.Describe(e.Kind)
		specs = append(specs, spec{e.Kind, fmt.Sprintf("%s: %s", e.Kind, info.Summary), info.Checklist})
	}
	return append(specs, spec{text: "comes to a verdict"})
}

// context registers one experiment, as written where Describe was called.
func (s *sea) context(p *experiments.Plan, at types.CodeLocation) {
	ginkgo.Context(p.Name, at, ginkgo.Label(p.Experiment.Labels...), func() {
		var tried folder.Experiment
		var failed error
		ginkgo.BeforeAll(func(ctx context.Context) { tried, failed = s.try(ctx, p.Name) })
		for _, x := range specsOf(p) {
			ginkgo.It(x.text, at, ginkgo.Label(x.labels...), func() {
				if failed != nil {
					ginkgo.Fail(report.CleanLines(failed.Error()))
				}
				s.judge(tried, x.kind)
			})
		}
	})
}

// judge passes, skips or fails a spec. The verdict's own fails unless the
// experiment came to one on the service: findings that held prove little where
// others could not be made.
func (s *sea) judge(e folder.Experiment, kind string) {
	if e.Verdict.Outcome == experiments.NotTried {
		ginkgo.Skip(report.Clean(e.Verdict.Reason))
	}
	if kind == "" {
		if e.Verdict.Outcome != experiments.Passed && e.Verdict.Outcome != experiments.Failed {
			ginkgo.Fail(s.undecided(e))
		}
		return
	}
	var applicable, found []detect.Finding
	for _, f := range e.Verdict.Findings {
		if f.Detector == kind {
			found = append(found, f)
		}
	}
	for _, f := range found {
		switch f.Outcome {
		case detect.NotApplicable:
			continue
		case detect.Held:
			applicable = append(applicable, f)
		default:
			ginkgo.Fail(explain(f) + s.journal(e) + s.again(e))
		}
	}
	switch {
	case len(found) == 0:
		ginkgo.Fail(s.undecided(e))
	case len(applicable) == 0:
		ginkgo.Skip(report.Clean(found[0].Reason))
	}
}
