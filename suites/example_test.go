package suites_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onsi/gomega"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/suites"
)

// expect is what a test has as gomega.Expect; here it prints the beginning of
// what a failing test would say: what was promised.
var expect = gomega.NewGomega(func(message string, _ ...int) {
	promised, _, _ := strings.Cut(message, "; ")
	if letters := []rune(promised); len(letters) > 100 {
		promised = string(letters[:100]) + "…"
	}
	fmt.Println(promised)
}).Expect

// saved opens a journal of testdata/journals as that of any trial is opened.
func saved(name string) journal.Journal {
	j, err := journal.Open(filepath.Join("..", "testdata", "journals", filepath.FromSlash(name)))
	if err != nil {
		panic(err)
	}
	return j
}

func ExampleHold() {
	expect(saved("success/held-all-good")).To(suites.Hold(&detect.Success{Ratio: 0.999}))
	expect(saved("success/violated-refused")).To(suites.Hold(&detect.Success{Ratio: 0.999}))
	// Output:
	// success is violated: promised: at least 99.9 % good answers
}

// Nothing was measured: To and ToNot both fail.
func ExampleHold_unknown() {
	expect(saved("jitter/unknown-noisy")).To(suites.JitterRetries())
	expect(saved("jitter/unknown-noisy")).ToNot(suites.JitterRetries())
	// Output:
	// neither held nor violated: jitter is unknown: promised: waits before a retry are spread at random
	// neither held nor violated: jitter is unknown: promised: waits before a retry are spread at random
}

// The plain form, in a file that ends in _test.go.
func ExampleRun() {
	_ = func(t *testing.T) { suites.Run(t, "seatrial.yaml", suites.Label("quick")) }
}

// The Ginkgo form, as a variable of the test's package.
func ExampleDescribe() {
	_ = func() bool { return suites.Describe("seatrial.yaml", suites.Only("http-*")) }
}

// One experiment is tried, and its journal is asked what one likes.
func ExampleRecord() {
	_ = func(t *testing.T) {
		expect := gomega.NewWithT(t).Expect
		j, err := suites.Record(t.Context(), "seatrial.yaml", "http-flaky/payments")
		expect(err).ToNot(gomega.HaveOccurred())
		expect(j).To(suites.JitterRetries())
		expect(j).To(suites.LimitAttempts())
	}
}
