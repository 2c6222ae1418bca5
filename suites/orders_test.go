package suites_test

import (
	"os"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/seatrial/seatrial/suites"
)

// TestOrders tries the reference service: a spec for each expectation of the
// quick experiments, and of all of them where SEATRIAL_LONG is set.
func TestOrders(t *testing.T) {
	if testing.Short() {
		t.Skip("a trial takes minutes")
	}
	gomega.RegisterFailHandler(ginkgo.Fail)
	ginkgo.RunSpecs(t, "orders")
}

var _ = suites.Describe(subjectOf, chosen()...)

func chosen() []suites.Option {
	if os.Getenv("SEATRIAL_LONG") != "" {
		return nil
	}
	return []suites.Option{suites.Label("quick")}
}
