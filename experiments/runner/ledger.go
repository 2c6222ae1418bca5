package runner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
	"github.com/seatrial/seatrial/loadgen"
)

// ledgerEvery is how often stored writes are read again where the service may
// store them later.
const ledgerEvery = 500 * time.Millisecond

// readLedger records what is stored of each write when the run is over: read
// past the proxy, or by the service's own route; again, where the service may
// store later, until every acknowledged write is there. Where it cannot be read
// the journal says why, and no write can be called lost.
func (r *run) readLedger(ctx context.Context) {
	where := r.plan.Subject.Traffic.Ledger
	if where == nil || r.env == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin+where.Within)
	defer cancel()
	books := ledgerBooks{Ledger: journal.Ledger{Asked: where.Read != nil}}
	writes, err := r.followed()
	over := time.Now().Add(where.Within)
	for err == nil {
		books.rows, err = r.stored(ctx, where, writes)
		if err != nil || books.complete(writes) || !time.Now().Before(over) {
			break
		}
		err = until(ctx, time.Now().Add(ledgerEvery))
	}
	on := where.Dependency
	if where.Read != nil {
		on = where.Read.Path
	}
	for _, s := range books.rows {
		books.Rows += s.Count
		if err == nil {
			r.rec.Record(journal.Entry{On: on, Body: s})
		}
	}
	if err != nil {
		books.Err = fmt.Sprintf("read the ledger: %v", err)
	}
	r.rec.Record(journal.Entry{On: on, Body: books.Ledger})
}

// ledgerBooks are what one reading found.
type ledgerBooks struct {
	journal.Ledger
	rows []journal.Stored
}

// complete reports whether every acknowledged write was found.
func (b ledgerBooks) complete(writes []journal.Write) bool {
	found := map[string]bool{}
	for _, s := range b.rows {
		found[s.Key] = s.Count > 0
	}
	return !slices.ContainsFunc(writes, func(w journal.Write) bool {
		return w.Outcome == journal.Acknowledged && !found[w.Key]
	})
}

// followed are the writes of the run, one for each key: the acknowledged one
// where there is one.
func (r *run) followed() ([]journal.Write, error) {
	j, err := r.recorded()
	if err != nil {
		return nil, err
	}
	byKey := map[string]journal.Write{}
	for _, w := range journal.Of[journal.Write](j) {
		if known, ok := byKey[w.Key]; !ok || known.Outcome != journal.Acknowledged {
			byKey[w.Key] = w
		}
	}
	return slices.Collect(maps.Values(byKey)), nil
}

func (r *run) stored(ctx context.Context, where *loadgen.Ledger, writes []journal.Write) ([]journal.Stored, error) {
	if where.Read != nil {
		return r.load.source.ReadBack(ctx, r.env.Endpoint(r.plan.Subject.Traffic.Port), r.id, writes)
	}
	return r.storedRows(ctx, where.Dependency, where.Query)
}

func (r *run) storedRows(ctx context.Context, dependency, query string) ([]journal.Stored, error) {
	t, err := r.env.Target(dependency)
	if err != nil {
		return nil, err
	}
	database, ok := t.(faults.SQL)
	if !ok {
		return nil, fmt.Errorf("the ledger's dependency %s is a %s, not a database", dependency, t.Kind())
	}
	conn, err := database.Admin(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	answer, err := conn.Query(ctx, query, pgx.QueryExecModeSimpleProtocol) // columns as text
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	counts := map[string]*journal.Stored{}
	for n := 1; answer.Next(); n++ {
		row, err := ledgerRow(answer)
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", n, err)
		}
		if counts[row.Key] == nil {
			counts[row.Key] = &row
		}
		counts[row.Key].Count++
	}
	all := make([]journal.Stored, 0, len(counts))
	for _, s := range counts {
		all = append(all, *s)
	}
	return all, answer.Err()
}

// ledgerRow reads a key, and an id and a value where the query returns them.
func ledgerRow(row pgx.Rows) (journal.Stored, error) {
	columns := row.RawValues()
	if len(columns) == 0 || len(columns[0]) == 0 {
		return journal.Stored{}, fmt.Errorf("the first column must be the write's key; it is empty")
	}
	s := journal.Stored{Key: string(columns[0])}
	if len(columns) > 1 {
		s.ID = string(columns[1])
	}
	if len(columns) > 2 {
		s.Value = journal.Digest(string(columns[2]))
	}
	return s, nil
}
