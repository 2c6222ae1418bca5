package app

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write seatrial-pgxpool.yaml anew")

// TestPoolSubject holds the subject file of the service on pgx's pool to being
// the other one in all but the pool.
func TestPoolSubject(t *testing.T) {
	const from, to = "../../seatrial.yaml", "../../seatrial-pgxpool.yaml"
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	want := string(b)
	for _, change := range [][2]string{
		{
			"# The reference service on trial.\n",
			"# The reference service on pgx's own pool. In all else it is seatrial.yaml, of which it is made:\n" +
				"# go test ./testdata/orders/internal/app -update\n",
		},
		{"\nname: orders\n", "\nname: orders-pgxpool\n"},
		{"    ORDERS_DB_CONN_LIFETIME:", "    ORDERS_DB_POOL: pgxpool\n    ORDERS_DB_CONN_LIFETIME:"},
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
