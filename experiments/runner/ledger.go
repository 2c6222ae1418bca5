package runner

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// readLedger records how often each key is stored, read past the proxy when the
// run is over. Where it cannot be read the journal says why, and no write can
// be called lost.
func (r *run) readLedger(ctx context.Context) {
	where := r.plan.Subject.Traffic.Ledger
	if where == nil || r.env == nil {
		return
	}
	rows, err := r.storedRows(ctx, where.Dependency, where.Query)
	end := journal.Ledger{Rows: rows}
	if err != nil {
		end.Err = err.Error()
	}
	r.rec.Record(journal.Entry{On: where.Dependency, Body: end})
}

func (r *run) storedRows(ctx context.Context, dependency, query string) (int, error) {
	t, err := r.env.Target(dependency)
	if err != nil {
		return 0, err
	}
	database, ok := t.(faults.SQL)
	if !ok {
		return 0, fmt.Errorf("the ledger's dependency %s is a %s, not a database", dependency, t.Kind())
	}
	conn, err := database.Admin(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the ledger: %w", err)
	}
	defer conn.Close(ctx)
	answer, err := conn.Query(ctx, query, pgx.QueryExecModeSimpleProtocol) // columns as text
	if err != nil {
		return 0, fmt.Errorf("read the ledger: %w", err)
	}
	defer answer.Close()
	counts := map[string]*journal.Stored{}
	rows := 0
	for ; answer.Next(); rows++ {
		key, id, err := ledgerRow(answer)
		if err != nil {
			return rows, fmt.Errorf("read the ledger: row %d: %w", rows+1, err)
		}
		if counts[key] == nil {
			counts[key] = &journal.Stored{Key: key, ID: id}
		}
		counts[key].Count++
	}
	if err := answer.Err(); err != nil {
		return rows, fmt.Errorf("read the ledger: %w", err)
	}
	for _, s := range counts {
		r.rec.Record(journal.Entry{On: dependency, Body: *s})
	}
	return rows, nil
}

// ledgerRow reads a key, and an id where the query returns one.
func ledgerRow(row pgx.Rows) (key, id string, err error) {
	columns := row.RawValues()
	if len(columns) == 0 || len(columns[0]) == 0 {
		return "", "", fmt.Errorf("the first column must be the write's key; it is empty")
	}
	if len(columns) > 1 {
		id = string(columns[1])
	}
	return string(columns[0]), id, nil
}
