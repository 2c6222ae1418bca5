package wiretap

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lib/pq"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// The tap before a client of lib/pq, which speaks the protocol in other ways
// than pgx: statements without parameters are simple queries, those with
// parameters are parsed and described in a round trip of their own, or sent at
// once with binary_parameters; a ping is an empty query; COPY begins as a
// simple query, and a cancel comes from a connection that may ask for TLS.

// within is how long the tap may take at the most.
const within = 10 * time.Second

// pqStage is a tap before a server, and a client of lib/pq.
type pqStage struct {
	*stage
	*sql.DB
}

// pqModes are the ways in which lib/pq sends parameters.
var pqModes = map[string]string{
	"described first": "sslmode=disable",
	"at once":         "sslmode=disable binary_parameters=yes",
	"within TLS":      "sslmode=require",
}

func eachPQMode(t *testing.T, f func(t *testing.T, s *pqStage)) {
	for name, options := range pqModes {
		t.Run(name, func(t *testing.T) { f(t, withPQ(t, options)) })
	}
}

// withPQ has a table kept, and one connection at a time.
func withPQ(t *testing.T, options string) *pqStage {
	t.Helper()
	s := &pqStage{stage: tapBefore(t, postgrestest.Start(t), true)}
	var err error
	s.DB, err = sql.Open("postgres", s.dsn(options))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.SetMaxOpenConns(1)
	s.exec("DROP TABLE IF EXISTS kept; CREATE TABLE kept (id int, note text)")
	s.forget()
	return s
}

func (s *pqStage) dsn(options string) string {
	host, port, _ := strings.Cut(s.Address(), ":")
	return fmt.Sprintf("host=%s port=%s user=postgres dbname=app %s", host, port, options)
}

func (s *pqStage) exec(query string, args ...any) {
	s.t.Helper()
	if _, err := s.ExecContext(s.t.Context(), query, args...); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
}

// ran is the one execution of a statement that begins so; a record may come a
// moment after its answer.
func (s *pqStage) ran(begins string) journal.Statement {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(within); time.Now().Before(late); <-tick.C {
		var found []journal.Statement
		for _, e := range s.recorded() {
			x, ok := e.Body.(journal.Statement)
			ran := x.Stage == journal.StageExecute || x.Stage == journal.StageQuery || x.SQLState != ""
			if ok && ran && strings.HasPrefix(x.Text, begins) {
				found = append(found, x)
			}
		}
		if len(found) > 1 {
			s.t.Fatalf("%q ran %d times: %+v", begins, len(found), found)
		}
		if len(found) == 1 {
			return found[0]
		}
	}
	s.t.Fatalf("%q is not recorded; recorded are %+v", begins, s.recorded())
	return journal.Statement{}
}

func (s *pqStage) begin() *sql.Tx {
	s.t.Helper()
	tx, err := s.BeginTx(s.t.Context(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return tx
}

// stored are the ids in the table.
func (s *pqStage) stored(want ...int) {
	s.t.Helper()
	rows, err := s.QueryContext(s.t.Context(), "SELECT id FROM kept ORDER BY id")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var got []int
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			s.t.Fatal(err)
		}
		got = append(got, id)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		s.t.Errorf("stored (-want +got): %s", d)
	}
}

// pqCode is an error's SQLSTATE.
func pqCode(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return fmt.Sprint(err)
}

func TestLibPQRecords(t *testing.T) {
	eachPQMode(t, func(t *testing.T, s *pqStage) {
		ctx := t.Context()
		if err := s.PingContext(ctx); err != nil { // an empty query
			t.Fatal(err)
		}
		tx := s.begin()
		if _, err := tx.ExecContext(ctx, "INSERT INTO kept VALUES ($1, $2), (2, 'two')", 1, testCanary); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM kept WHERE id < $1", 9).Scan(&n); err != nil || n != 2 {
			t.Fatal(n, err)
		}
		if err := tx.QueryRowContext(ctx, "TABLE kept LIMIT 1").Scan(new(int), new(string)); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(ctx, "UPDATE kept SET nothing = $1", "x"); pqCode(err) != "42703" {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		insert := s.ran("INSERT INTO kept VALUES ($1, $2), (?, ?)")
		if insert.Stage != journal.StageExecute || insert.Tag != "INSERT 0 2" || insert.Tx != "T" || insert.After != "T" ||
			insert.PID == 0 || insert.Canary != journal.CanaryBind {
			t.Errorf("the insert: %+v", insert)
		}
		if read := s.ran("SELECT count(*)"); read.Rows != 1 || read.Tag != "SELECT 1" || read.Took <= 0 {
			t.Errorf("the select: %+v", read)
		}
		if simple := s.ran("TABLE kept LIMIT ?"); simple.Stage != journal.StageQuery || simple.Rows != 1 {
			t.Errorf("the simple query: %+v", simple)
		}
		if wrong := s.ran("UPDATE kept"); wrong.SQLState != "42703" || wrong.After != "E" {
			t.Errorf("the mistake: %+v", wrong)
		}
		if end := s.ran("ROLLBACK"); end.Tx != "E" || end.After != "I" || end.Stage != journal.StageQuery {
			t.Errorf("the rollback: %+v", end)
		}
	})
}

// TestLibPQPrepares runs a named statement twice.
func TestLibPQPrepares(t *testing.T) {
	eachPQMode(t, func(t *testing.T, s *pqStage) {
		put, err := s.PrepareContext(t.Context(), "INSERT INTO kept VALUES ($1)")
		if err != nil {
			t.Fatal(err)
		}
		for id := range 2 {
			if _, err := put.ExecContext(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if err := put.Close(); err != nil {
			t.Fatal(err)
		}
		s.stored(0, 1)
		executed := 0
		for _, e := range s.recorded() {
			x, ok := e.Body.(journal.Statement)
			if ok && x.Stage == journal.StageExecute && x.Text == "INSERT INTO kept VALUES ($1)" && x.Tag == "INSERT 0 1" {
				executed++
			}
		}
		if executed != 2 {
			t.Errorf("%d executions are recorded: %+v", executed, s.recorded())
		}
	})
}

func TestLibPQErrors(t *testing.T) {
	eachPQMode(t, func(t *testing.T, s *pqStage) {
		put := func(id int) error {
			tx := s.begin()
			if _, err := tx.ExecContext(t.Context(), "INSERT INTO kept VALUES ($1)", id); err != nil {
				_, after := tx.ExecContext(t.Context(), "INSERT INTO kept VALUES ($1)", id)
				if pqCode(after) != "25P02" {
					t.Errorf("after the error: %v", after)
				}
				return errors.Join(err, tx.Rollback())
			}
			return tx.Commit()
		}
		for id, at := range []string{"", faults.AtCommit} {
			s.interfere(faults.Interference{
				At: at, SQLState: "40001", Statements: faults.Statements{Match: "^insert", InTransaction: true, FirstN: 1},
			})
			if err := put(id); pqCode(err) != "40001" {
				t.Errorf("at %q: the first try: %v", at, err)
			}
			if err := put(id); err != nil {
				t.Errorf("at %q: the second: %v", at, err)
			}
		}
		s.LeaveAlone("test")
		s.stored(0, 1)
		s.interfere(faults.Interference{SQLState: "57P01", Fatal: true, Statements: faults.Statements{Match: "^delete"}})
		if _, err := s.ExecContext(t.Context(), "DELETE FROM kept WHERE id = $1", 0); err == nil {
			t.Error("it was deleted")
		}
		s.LeaveAlone("test")
		s.stored(0, 1) // on another connection
	})
}

func TestLibPQCuts(t *testing.T) {
	eachPQMode(t, func(t *testing.T, s *pqStage) {
		s.interfere(faults.Interference{CutRows: 500, Statements: faults.Statements{Match: "generate_series"}})
		if n, err := s.series(1000); n != 500 || err == nil {
			t.Errorf("%d rows, and then %v", n, err)
		}
		if x := s.ran("SELECT generate_series"); x.Done != journal.DoneCut || x.Rows != 500 {
			t.Errorf("the cut: %+v", x)
		}
		s.interfere(faults.Interference{CutCommit: true, Statements: faults.Statements{Match: "^insert", FirstN: 1}})
		tx := s.begin()
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO kept VALUES ($1)", 7); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err == nil {
			t.Error("the commit was answered")
		}
		s.stored(7)
	})
}

// series reads a result to its end.
func (s *pqStage) series(most int) (n int, err error) {
	rows, err := s.QueryContext(s.t.Context(), "SELECT generate_series(1, $1::int)", most)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}

func TestLibPQHolds(t *testing.T) {
	eachPQMode(t, func(t *testing.T, s *pqStage) {
		const hold = 120 * time.Millisecond
		s.interfere(faults.Interference{Hold: hold, Statements: faults.Statements{Match: "^insert"}})
		began := time.Now()
		s.exec("INSERT INTO kept VALUES ($1)", 1)
		if took := time.Since(began); took < hold {
			t.Errorf("it took %v", took)
		}
		if x := s.ran("INSERT"); x.Done != journal.DoneHeld || x.Held < hold {
			t.Errorf("the hold: %+v", x)
		}
	})
}

// TestLibPQCancels ends a statement as lib/pq does: by a request on another
// connection, to the tap's address.
func TestLibPQCancels(t *testing.T) {
	eachPQMode(t, func(t *testing.T, s *pqStage) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := s.ExecContext(ctx, "SELECT pg_sleep($1)", 30)
		if took := time.Since(began); err == nil || took > within {
			t.Errorf("after %v: %v", took, err)
		}
		if x := s.ran("SELECT pg_sleep"); x.SQLState != "57014" {
			t.Errorf("the statement: %+v", x)
		}
		s.exec("SELECT 1")
	})
}

func TestLibPQCopies(t *testing.T) {
	eachPQMode(t, func(t *testing.T, s *pqStage) {
		long := strings.Repeat("long ", 50_000)
		copied := func(rows int, last any) error {
			tx := s.begin()
			defer func() { _ = tx.Rollback() }()
			in, err := tx.PrepareContext(t.Context(), pq.CopyIn("kept", "id", "note"))
			if err != nil {
				t.Fatal(err)
			}
			for id := range rows {
				if _, err := in.ExecContext(t.Context(), id, long[:id]); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := in.ExecContext(t.Context(), last, long); err != nil {
				t.Fatal(err)
			}
			if _, err := in.ExecContext(t.Context()); err != nil {
				return errors.Join(err, in.Close())
			}
			return errors.Join(in.Close(), tx.Commit())
		}
		if err := copied(1000, "no number"); pqCode(err) != "22P02" {
			t.Errorf("a copy with a mistake: %v", err)
		}
		s.stored()
		s.forget()
		if err := copied(1000, 1000); err != nil {
			t.Fatal(err)
		}
		if x := s.ran("COPY"); x.Tag != "COPY 1001" || x.Tx != "T" {
			t.Errorf("the copy: %+v", x)
		}
		var n int
		row := s.QueryRowContext(t.Context(), "SELECT sum(length(note)) FROM kept WHERE id >= $1", 0)
		if err := row.Scan(&n); err != nil || n != len(long)+999*1000/2 {
			t.Error(n, err)
		}
	})
}

func TestLibPQListens(t *testing.T) {
	eachPQMode(t, func(t *testing.T, s *pqStage) {
		l := pq.NewListener(s.dsn(pqModes[t.Name()[strings.Index(t.Name(), "/")+1:]]), time.Second, time.Second, nil)
		defer func() { _ = l.Close() }()
		if err := l.Listen("news"); err != nil {
			t.Fatal(err)
		}
		s.exec("SELECT pg_notify('news', $1)", "heard")
		select {
		case news := <-l.Notify:
			if news == nil || news.Extra != "heard" {
				t.Errorf("heard %+v", news)
			}
		case <-time.After(within):
			t.Error("nothing was heard")
		}
	})
}

// planted sends the forms of a value as a service on lib/pq would, and is the
// journal of that.
func (s *pqStage) planted(send func(value string) error) journal.Journal {
	m := journal.NewMemory(journal.Header{Run: "r1", Promises: journal.DefaultPromises()})
	for n, form := range []struct{ name, value string }{
		{journal.PlantedControl, "Ada"},
		{journal.PlantedCanary, testCanary},
		{journal.PlantedQuote, testCanary + "'"},
		{journal.PlantedOr, testCanary + "' OR '1'='1"},
	} {
		p := journal.Planted{
			Attack: "payloads", Seq: uint64(n), Route: "pay", Field: "body $.note", Form: form.name, Sent: s.now(), Code: 201,
		}
		if err := send(form.value); err != nil {
			p.Code = 500
		}
		m.Record(journal.Entry{At: s.now(), On: "payloads", Body: p})
		<-time.After(5 * time.Millisecond) // more than what the clocks may differ by
	}
	for _, e := range s.recorded() {
		m.Record(e)
	}
	return m
}

// TestLibPQParameters has the detector of parameters judge what the tap records
// of lib/pq: parameters, and texts that were put together.
func TestLibPQParameters(t *testing.T) {
	eachPQMode(t, func(t *testing.T, s *pqStage) {
		judge := func(send func(value string) error) detect.Finding {
			s.forget()
			return (&detect.ParameterisedSQL{MinFields: 1}).Detect(s.planted(send))
		}
		if f := judge(func(value string) error {
			_, err := s.ExecContext(t.Context(), "INSERT INTO kept VALUES ($1, $2)", 1, value)
			return err
		}); f.Outcome != detect.Held {
			t.Errorf("parameters: %s: %s", f.Outcome, f.Reason)
		}
		if f := judge(func(value string) error {
			_, err := s.ExecContext(t.Context(), "INSERT INTO kept VALUES (1, '"+value+"')")
			return err
		}); f.Outcome != detect.Violated || !strings.Contains(f.Reason, "42601") {
			t.Errorf("a simple query put together: %s: %s", f.Outcome, f.Reason)
		}
		if f := judge(func(value string) error {
			_, err := s.ExecContext(t.Context(), "INSERT INTO kept VALUES ($1, '"+value+"')", 1)
			return err
		}); f.Outcome != detect.Violated || !strings.Contains(f.Reason, "prepared") {
			t.Errorf("a prepared statement put together: %s: %s", f.Outcome, f.Reason)
		}
	})
}

// TestLibPQWholeResults has the detector of whole results judge cut ones.
func TestLibPQWholeResults(t *testing.T) {
	eachPQMode(t, func(t *testing.T, s *pqStage) {
		s.interfere(faults.Interference{CutRows: 5, Statements: faults.Statements{Match: "generate_series"}})
		for believed, want := range map[bool]detect.Outcome{false: detect.Held, true: detect.Violated} {
			s.forget()
			m := journal.NewMemory(journal.Header{Run: "r1", Promises: journal.DefaultPromises()})
			for n := range 5 {
				r := journal.Request{Seq: uint64(n), Attack: "load", Route: "list", Code: 503, Sent: s.now()}
				if _, err := s.series(10); err == nil {
					t.Fatal("the result was whole")
				}
				<-time.After(5 * time.Millisecond)
				if r.Due, r.Done = r.Sent, s.now(); believed {
					r.Code, r.OK = 200, true
				}
				m.Request(r)
			}
			for _, e := range s.recorded() {
				m.Record(e)
			}
			if f := (&detect.WholeResults{MinSamples: 5}).Detect(m); f.Outcome != want {
				t.Errorf("believed %t: %s: %s", believed, f.Outcome, f.Reason)
			}
		}
	})
}
