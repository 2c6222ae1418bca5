package faults_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/faults"
)

// TestReapSQL has two faults in force. The connections of one end, as they do
// when its seatrial is killed: it is found and removed, and the other one is
// left alone.
func TestReapSQL(t *testing.T) {
	db := plainDatabase(t)
	fault := func() *faults.RefuseWrites {
		return &faults.RefuseWrites{
			Codes: []string{"40001"}, At: "statement", On: []string{"insert"}, Within: 5 * time.Second,
			Tables: []string{"orders"},
		}
	}
	ctx := t.Context()
	conn, err := db.Admin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := fault().Inject(ctx, db); err != nil {
		t.Fatal(err)
	}
	schemas := func() (names []string) {
		t.Helper()
		rows, err := conn.Query(
			ctx,
			"SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'seatrial-run-1-%' ORDER BY oid",
		)
		if err == nil {
			names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	killed := schemas()
	// Since PostgreSQL 14 pg_terminate_backend could wait itself.
	const there = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1"
	for left := 1; left > 0; {
		if err := conn.QueryRow(ctx, there, db.Mark()).Scan(&left); err != nil {
			t.Fatal(err)
		}
	}
	alive, err := fault().Inject(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	found, err := faults.FindSQL(ctx, conn)
	if d := cmp.Diff(killed, found); d != "" || err != nil || len(killed) != 1 {
		t.Errorf("found (-want +got): %s %v", d, err)
	}
	gone, err := faults.ReapSQL(ctx, conn)
	if d := cmp.Diff(killed, gone); d != "" || err != nil {
		t.Errorf("removed (-want +got): %s %v", d, err)
	}
	if left := schemas(); len(left) != 1 || left[0] == killed[0] {
		t.Errorf("left are %v", left)
	}
	if err := alive.Revert(ctx); err != nil {
		t.Fatal(err)
	}
	if found, err := faults.FindSQL(ctx, conn); err != nil || len(found) != 0 {
		t.Errorf("afterwards: %v %v", found, err)
	}
	nothingLeft(t, db)
}
