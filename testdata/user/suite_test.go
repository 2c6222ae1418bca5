package prices_test

import (
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/seatrial/seatrial/suites"
)

var _ = ginkgo.Describe("tea", func() {
	ginkgo.It("is on the list", func() { gomega.Expect([]string{"tea"}).To(gomega.ContainElement("tea")) })
})

// The trial is one more part of an existing Ginkgo suite.
var _ = suites.Describe("seatrial.yaml", suites.Label("own"))

// TestSuite runs the Ginkgo suite.
func TestSuite(t *testing.T) {
	gomega.RegisterFailHandler(ginkgo.Fail)
	ginkgo.RunSpecs(t, "prices")
}
