package app

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/testdata/orders/internal/config"
)

var update = flag.Bool("update", false, "write the subject files of the other pools anew")

// TestPoolSubjects holds the subject files of the service on other pools to being
// seatrial.yaml in all but the pool.
func TestPoolSubjects(t *testing.T) {
	for pool, on := range map[string]string{config.PoolPgx: "pgx's own pool", config.PoolPQ: "database/sql with lib/pq"} {
		t.Run(pool, func(t *testing.T) { testPoolSubject(t, pool, on) })
	}
}

func testPoolSubject(t *testing.T, pool, on string) {
	const from = "../../seatrial.yaml"
	to := "../../seatrial-" + pool + ".yaml"
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	want := string(b)
	for _, change := range [][2]string{
		{
			"# The reference service on trial.\n",
			"# The reference service on " + on + ". In all else it is seatrial.yaml, of which it is made:\n" +
				"# go test ./testdata/orders/internal/app -update\n",
		},
		{"\nname: orders\n", "\nname: orders-" + pool + "\n"},
		{"    ORDERS_DB_CONN_LIFETIME:", "    ORDERS_DB_POOL: " + pool + "\n    ORDERS_DB_CONN_LIFETIME:"},
	} {
		if strings.Count(want, change[0]) != 1 {
			t.Fatalf("%s has %q %d times, and must have it once", from, change[0], strings.Count(want, change[0]))
		}
		want = strings.Replace(want, change[0], change[1], 1)
	}
	if *update {
		if err := os.WriteFile(to, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("%s is not what it is made of (-want +got); write it anew with -update:\n%s", to, d)
	}
}
