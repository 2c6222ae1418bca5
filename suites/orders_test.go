package suites_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/seatrial/seatrial/suites"
)

// TestOrders tries the reference service, with a spec for each expectation of
// the main job's experiments, and of all of them where SEATRIAL_LONG is set.
// Where go test's timeout leaves no time for the main job (the default of 10m
// does not), the quick ones of it are tried: -timeout 20m tries it all.
func TestOrders(t *testing.T) {
	if testing.Short() {
		t.Skip("a trial takes minutes")
	}
	gomega.RegisterFailHandler(ginkgo.Fail)
	suite, reporter := ginkgo.GinkgoConfiguration()
	options := []suites.Option{suites.Out(filepath.Join(moduleRoot, "runs", "suites"))} // not beside the service
	if os.Getenv("SEATRIAL_LONG") == "" {
		options = append(options, suites.Label("main"))
		if deadline, has := t.Deadline(); has && time.Until(deadline) < mainJob && suite.LabelFilter == "" {
			t.Logf("the deadline is nearer than %v: only the quick experiments are tried", mainJob)
			suite.LabelFilter = "quick"
		}
	}
	suites.Describe(subjectOf, options...)
	ginkgo.RunSpecs(t, "orders", suite, reporter)
}

// mainJob is how much time is left for the main job with second attempts.
const mainJob = 12 * time.Minute

// TestOrdersOnPgxpool tries the reference service on pgx's own pool with what
// happens to databases, where SEATRIAL_LONG is set.
func TestOrdersOnPgxpool(t *testing.T) { ordersOn(t, "pgxpool") }

// TestOrdersOnLibpq does the same with lib/pq as the driver of database/sql.
func TestOrdersOnLibpq(t *testing.T) { ordersOn(t, "libpq") }

func ordersOn(t *testing.T, pool string) {
	t.Helper()
	if os.Getenv("SEATRIAL_LONG") == "" {
		t.Skip("a second trial of the service takes minutes: SEATRIAL_LONG=1")
	}
	suites.Run(t, "../testdata/orders/seatrial-"+pool+".yaml", suites.Out(filepath.Join(moduleRoot, "runs", pool)),
		suites.Only("pool-exhausted", "postgres-*", "transactions", "serialization", "failover", "crash-cycles"))
}
