package runner

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// fillWithin bounds filling a table: a million rows with three indexes take 10 s
// or so.
const fillWithin = 3 * time.Minute

// fill makes a table large with the subject's own statement, where the plan asks
// for it.
func (r *run) fill(ctx context.Context) error {
	rows := r.plan.FillRows()
	if rows == 0 {
		return nil
	}
	r.board.set(func(s *Status) { s.Doing = fmt.Sprintf("putting %d rows in", rows) })
	fill := r.plan.Subject.Next.Fill
	target, err := r.env.Target(fill.Dependency)
	if err != nil {
		return fmt.Errorf("next.fill: %w", err)
	}
	db, ok := target.(faults.SQL)
	if !ok {
		return fmt.Errorf("next.fill: %s is not a database that can be reached past its proxy", fill.Dependency)
	}
	began := r.rec.Now()
	if err := execWithin(ctx, db, fillWithin,
		strings.ReplaceAll(fill.SQL, subject.RowsReference, strconv.Itoa(rows))); err != nil {
		return fmt.Errorf("next.fill: put %d rows into %s: %w", rows, fill.Dependency, err)
	}
	r.rec.Record(journal.Entry{On: fill.Dependency, Body: journal.Filled{Rows: rows, Took: r.rec.Now().Sub(began)}})
	return nil
}

// execWithin carries out a statement on the administrative connection, and has
// the planner look at what there is now.
func execWithin(ctx context.Context, db faults.SQL, within time.Duration, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn, err := db.Admin(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, s := range []string{statement, "ANALYZE", "CHECKPOINT"} {
		if _, err := conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
