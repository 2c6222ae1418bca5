package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// JUnit writes a trial as JUnit XML: a test suite for each experiment and a
// test case for each expectation. A violated expectation is a failure; an
// unknown one is skipped with its reason, as is one that does not apply; what
// went wrong in seatrial itself is an error.
func JUnit(w io.Writer, t *folder.Trial) error {
	suites := junit.Testsuites{Name: Clean(t.Service)}
	for _, e := range t.Experiments {
		suites.AddSuite(suite(t, e))
	}
	stopped := t.Error
	if stopped == "" && t.Ended.IsZero() {
		stopped = "the trial did not come to its end; seatrial judge judges what there is of it"
	}
	if stopped != "" {
		s := junit.Testsuite{Name: "seatrial", Timestamp: timestamp(t.Started)}
		s.AddTestcase(junit.Testcase{
			Name: "trial", Classname: "seatrial",
			Error: &junit.Result{Message: Clean(stopped), Type: "error"},
		})
		suites.AddSuite(s)
	}
	if d := trialTook(t); d > 0 {
		suites.Time = seconds(d)
	}
	if err := suites.WriteXML(w); err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	return nil
}

func suite(t *folder.Trial, e folder.Experiment) junit.Testsuite {
	s := junit.Testsuite{Name: Clean(e.Name), Time: seconds(e.Took), Timestamp: timestamp(t.Started)}
	s.AddProperty("seed", fmt.Sprint(t.Seed))
	s.AddProperty("outcome", Clean(string(e.Verdict.Outcome)))
	s.AddProperty("attempts", fmt.Sprint(len(e.Verdict.Attempts)))
	judged := e.Verdict.Outcome == experiments.Passed || e.Verdict.Outcome == experiments.Failed
	if !judged || len(e.Verdict.Findings) == 0 {
		s.AddTestcase(verdictCase(e))
	}
	for i, f := range e.Verdict.Findings {
		s.AddTestcase(findingCase(e, i, f))
	}
	return s
}

// verdictCase stands for the experiment as a whole, where it could not be
// judged by its expectations.
func verdictCase(e folder.Experiment) junit.Testcase {
	c := junit.Testcase{Name: "verdict", Classname: className(e.Name), Status: Clean(string(e.Verdict.Outcome))}
	r := &junit.Result{Message: Clean(e.Verdict.Reason), Type: Clean(string(e.Verdict.Outcome))}
	switch e.Verdict.Outcome {
	case experiments.Passed:
	case experiments.Failed:
		c.Failure = r
	case experiments.Inconclusive, experiments.NotTried:
		c.Skipped = r
	case "": // what stopped the trial is an error of its own
		c.Skipped = &junit.Result{Message: called(e), Type: called(e)}
	default:
		c.Error = r
	}
	return c
}

func findingCase(e folder.Experiment, i int, f detect.Finding) junit.Testcase {
	c := junit.Testcase{
		Name:      fmt.Sprintf("%d %s%s", i+1, Clean(f.Detector), items(f.Checklist)),
		Classname: className(e.Name), Status: Clean(string(f.Outcome)),
		SystemOut: &junit.Output{Data: Explain(f)},
	}
	r := &junit.Result{Message: Clean(f.Reason), Type: Clean(f.Called())}
	switch f.Outcome {
	case detect.Held:
	case detect.Violated:
		r.Data = Explain(f)
		c.Failure, c.SystemOut = r, nil
	default:
		c.Skipped = r
	}
	return c
}

func className(experiment string) string {
	return "seatrial." + strings.ReplaceAll(Clean(experiment), "/", ".")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05") }
