package suites_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/seatrial/seatrial/suites"
)

// TestOrders tries the reference service: a spec for each expectation of three
// quick experiments, together under a minute, and of all of them where
// SEATRIAL_LONG is set.
func TestOrders(t *testing.T) {
	if testing.Short() {
		t.Skip("a trial takes minutes")
	}
	gomega.RegisterFailHandler(ginkgo.Fail)
	ginkgo.RunSpecs(t, "orders")
}

var _ = suites.Describe(subjectOf, chosen()...)

// chosen keeps the trials out of the reference service's own folder.
func chosen() []suites.Option {
	out := suites.Out(filepath.Join(moduleRoot, "runs", "suites"))
	if os.Getenv("SEATRIAL_LONG") != "" {
		return []suites.Option{out}
	}
	return []suites.Option{out, suites.Only("http-slow", "postgres-slow", "crash")}
}
