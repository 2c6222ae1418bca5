package faults_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/faults"
)

// TestLocksLast locks on a server that ends sessions which are idle in a
// transaction, and long transactions: ours go on.
func TestLocksLast(t *testing.T) {
	db := plainDatabase(t)
	ctx := t.Context()
	conn, err := db.Admin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(ctx, `SELECT name FROM pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')`)
	if err != nil {
		t.Fatal(err)
	}
	impatient, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(impatient) == 0 {
		t.Fatal(impatient, err)
	}
	for _, name := range impatient {
		if _, err := conn.Exec(ctx, fmt.Sprintf("ALTER DATABASE app SET %s = '200ms'", name)); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _, _ = conn.Exec(context.Background(), "ALTER DATABASE app RESET ALL") }()
	lock, err := faults.New("table_lock")
	if err != nil {
		t.Fatal(err)
	}
	lock.(*faults.TableLock).Tables = []string{"orders"}
	injected, err := lock.Inject(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(500 * time.Millisecond)
	var held bool
	const asked = "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) " +
		"WHERE l.mode = 'AccessExclusiveLock' AND l.relation = 'orders'::regclass AND a.application_name = $1)"
	if err := conn.QueryRow(ctx, asked, db.Mark()).Scan(&held); err != nil || !held {
		t.Errorf("the lock on %v is held: %t, %v", impatient, held, err)
	}
	if err := injected.Revert(ctx); err != nil {
		t.Error(err)
	}
}
