package wiretap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

func TestRecords(t *testing.T) {
	eachMode(t, func(t *testing.T, s *stage, c *pgx.Conn) {
		tx, err := c.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "INSERT INTO kept VALUES ($1, $2), (2, 'two')", 1, testCanary); err != nil {
			t.Fatal(err)
		}
		rows, _ := tx.Query(t.Context(), "SELECT id FROM kept WHERE id < $1", 9)
		if ids, err := pgx.CollectRows(rows, pgx.RowTo[int]); err != nil || len(ids) != 2 {
			t.Fatal(ids, err)
		}
		if _, err := tx.Exec(t.Context(), "SELECT nothing FROM kept WHERE id = $1", 1); code(err) != "42703" {
			t.Fatal(err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		simple := strings.HasPrefix(t.Name(), "TestRecords/simple")
		var insert, read, wrong, end *journal.Statement
		for _, x := range s.statements() {
			switch {
			case strings.HasPrefix(x.Text, "INSERT") && executed(x):
				insert = &x
			case strings.HasPrefix(x.Text, "SELECT id") && executed(x):
				read = &x
			case x.SQLState != "":
				wrong = &x
			case x.Text == "rollback":
				end = &x
			}
		}
		if insert == nil || insert.Tag != "INSERT 0 2" || insert.Tx != "T" || insert.After != "T" || insert.PID == 0 {
			t.Errorf("the insert: %+v", insert)
		}
		if where := map[bool]string{true: journal.CanaryText, false: journal.CanaryBind}[simple]; insert.Canary != where {
			t.Errorf("the canary was seen in %q, not %q", insert.Canary, where)
		}
		if strings.Contains(insert.Text, "two") || strings.Contains(insert.Text, testCanary) {
			t.Errorf("a value is in %q", insert.Text)
		}
		if read == nil || read.Rows != 2 || read.Tag != "SELECT 2" || read.Took <= 0 {
			t.Errorf("the select: %+v", read)
		}
		if wrong == nil || wrong.SQLState != "42703" || wrong.After != "E" {
			t.Errorf("the mistake: %+v", wrong)
		}
		if end == nil || end.Tx != "E" || end.After != "I" || end.Stage != journal.StageQuery {
			t.Errorf("the rollback: %+v", end)
		}
	})
}

func TestErrorInTransaction(t *testing.T) {
	eachMode(t, func(t *testing.T, s *stage, c *pgx.Conn) {
		s.interfere(faults.Interference{
			SQLState: "40001", Message: "try again",
			Statements: faults.Statements{Match: "^insert", InTransaction: true, FirstN: 1},
		})
		ctx := t.Context()
		if _, err := c.Exec(ctx, "INSERT INTO kept VALUES ($1)", 1); err != nil {
			t.Fatalf("outside a transaction: %v", err)
		}
		tx, err := c.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO kept VALUES ($1)", 2); code(err) != "40001" {
			t.Fatalf("in it: %v", err)
		}
		if status := c.PgConn().TxStatus(); status != 'E' {
			t.Errorf("the transaction's state is %q", status)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO kept VALUES ($1)", 3); code(err) != "25P02" {
			t.Errorf("after it: %v", err)
		}
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
		if tx, err = c.Begin(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO kept VALUES ($1)", 4); err != nil {
			t.Errorf("the second, after one was spent: %v", err)
		}
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		wantStored(t, c, 1, 4)
		if n := shaped(s, journal.DoneError); n != 1 {
			t.Errorf("%d statements are recorded as shaped", n)
		}
	})
}

func TestErrorAtCommit(t *testing.T) {
	eachMode(t, func(t *testing.T, s *stage, c *pgx.Conn) {
		i := faults.Interference{
			At: faults.AtCommit, SQLState: "40001",
			Statements: faults.Statements{Match: "^insert", FirstN: 1, PerParameter: 1},
		}
		simple := strings.HasSuffix(t.Name(), "simple_protocol")
		if simple {
			i.PerParameter = 0 // it has no parameters
		}
		s.interfere(i)
		ctx := t.Context()
		put := func(id int) error {
			tx, err := c.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO kept VALUES ($1)", id); err != nil {
				t.Fatal(err)
			}
			return tx.Commit(ctx)
		}
		for id := 1; id <= 2; id++ {
			if err := put(id); code(err) != "40001" && (id == 1 || !simple) {
				t.Errorf("the first commit of %d: %v", id, err)
			}
			if status := c.PgConn().TxStatus(); status != 'I' {
				t.Fatalf("the transaction's state is %q", status)
			}
			if simple {
				continue
			}
			if err := put(id); err != nil {
				t.Errorf("the second commit of %d: %v", id, err)
			}
		}
		if simple {
			wantStored(t, c, 2)
		} else {
			wantStored(t, c, 1, 2)
		}
	})
}

func TestErrorInPipeline(t *testing.T) {
	s := withServer(t)
	c := s.connect("sslmode=disable")
	s.interfere(
		faults.Interference{SQLState: "40001", Statements: faults.Statements{Match: `^commit`}, At: faults.AtCommit},
	)
	ctx := t.Context()
	b := &pgx.Batch{}
	b.Queue("CREATE TEMP TABLE kept (id int)")
	b.Queue("INSERT INTO kept VALUES ($1)", 1)
	b.Queue("SELECT 1/(id-1) FROM kept WHERE id = $1", 1)
	b.Queue("INSERT INTO kept VALUES ($1)", 2)
	if err := c.SendBatch(ctx, b).Close(); code(err) != "22012" && code(err) != "42P01" {
		t.Fatal(err)
	}
	if err := c.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	pipe := c.PgConn().StartPipeline(ctx)
	for range 3 {
		pipe.SendQueryParams("SELECT 1", nil, nil, nil, nil)
		pipe.SendPipelineSync()
	}
	if err := pipe.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	s.statements()
}

func TestFatal(t *testing.T) {
	eachMode(t, func(t *testing.T, s *stage, c *pgx.Conn) {
		s.interfere(faults.Interference{SQLState: "57P01", Fatal: true, Statements: faults.Statements{Match: "^select"}})
		if _, err := c.Exec(t.Context(), "SELECT $1::int", 1); code(err) != "57P01" {
			t.Errorf("it says %v", err)
		}
		if err := c.Ping(t.Context()); err == nil {
			t.Error("the connection lives on")
		}
	})
}

func TestRefusedConnection(t *testing.T) {
	s := withServer(t)
	s.interfere(faults.Interference{At: faults.AtConnect, SQLState: "53300", Statements: faults.Statements{FirstN: 1}})
	_, err := pgx.Connect(t.Context(), "postgres://postgres@"+s.Address()+"/app?sslmode=disable")
	if code(err) != "53300" {
		t.Errorf("it says %v", err)
	}
	s.connect("sslmode=disable")
}

func TestCutRows(t *testing.T) {
	eachMode(t, func(t *testing.T, s *stage, c *pgx.Conn) {
		s.interfere(faults.Interference{CutRows: 500, Statements: faults.Statements{Match: "generate_series"}})
		rows, err := c.Query(t.Context(), "SELECT generate_series(1, $1::int)", 1000)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if n != 500 || rows.Err() == nil {
			t.Errorf("%d rows, and then %v", n, rows.Err())
		}
		eventually(t, func() bool { return shaped(s, journal.DoneCut) == 1 })
	})
}

func TestCutCommit(t *testing.T) {
	for _, auto := range []bool{false, true} {
		for _, mode := range modes {
			t.Run(fmt.Sprintf("%s/%t", mode, auto), func(t *testing.T) { cutCommit(t, mode, auto) })
		}
	}
}

func cutCommit(t *testing.T, mode string, auto bool) {
	s := withServer(t)
	admin := s.connect("sslmode=disable")
	if _, err := admin.Exec(t.Context(), "DROP TABLE IF EXISTS kept; CREATE TABLE kept (id int)"); err != nil {
		t.Fatal(err)
	}
	s.interfere(faults.Interference{CutCommit: true, Statements: faults.Statements{Match: "insert", FirstN: 1}})
	put := func(id int) error {
		ctx := t.Context()
		c := s.connect("sslmode=disable&default_query_exec_mode=" + mode)
		if auto {
			var back int
			return c.QueryRow(ctx, "INSERT INTO kept VALUES ($1) RETURNING id", id).Scan(&back)
		}
		tx, err := c.Begin(ctx)
		if err == nil {
			_, err = tx.Exec(ctx, "INSERT INTO kept VALUES ($1)", id)
		}
		if err != nil {
			t.Fatal(err)
		}
		return tx.Commit(ctx)
	}
	if err := put(1); err == nil || code(err) == "40001" {
		t.Errorf("the first commit says %v", err)
	}
	if err := put(2); err != nil {
		t.Errorf("the second: %v", err)
	}
	wantStored(t, admin, 1, 2)
	eventually(t, func() bool { return shaped(s, journal.DoneCut) == 1 })
}

func TestHoldReady(t *testing.T) {
	eachMode(t, func(t *testing.T, s *stage, c *pgx.Conn) {
		const hold = 120 * time.Millisecond
		s.interfere(faults.Interference{Hold: hold, Statements: faults.Statements{Match: "^insert", FirstN: 1}})
		for i := range 2 {
			began := time.Now()
			if _, err := c.Exec(t.Context(), "INSERT INTO kept VALUES ($1)", i); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); (took >= hold) != (i == 0) {
				t.Errorf("insert %d took %v", i, took)
			}
		}
		if n := shaped(s, journal.DoneHeld); n != 1 {
			t.Errorf("%d are recorded as held", n)
		}
	})
}

func TestHoldEndsWithItsFault(t *testing.T) {
	s := withServer(t)
	c := s.connect("sslmode=disable")
	s.interfere(faults.Interference{Hold: time.Hour, Statements: faults.Statements{FirstN: 1}})
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), "SELECT 1")
		done <- err
	}()
	r := (*s.rules.Load())[0]
	eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.used[0] == 1
	})
	s.LeaveAlone("test")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := shaped(s, journal.DoneHeld); n != 1 {
		t.Errorf("%d are recorded as held", n)
	}
}

func TestTLS(t *testing.T) {
	for _, answered := range []bool{false, true} {
		s := tapBefore(t, postgrestest.Start(t), answered)
		c, err := pgx.Connect(t.Context(), "postgres://postgres@"+s.Address()+"/app?sslmode=require")
		if (err == nil) != answered {
			t.Fatalf("answered %t: %v", answered, err)
		}
		if err != nil {
			s.connect("sslmode=prefer") // goes on without
			continue
		}
		if _, ok := c.PgConn().Conn().(*tls.Conn); !ok {
			t.Error("it is no TLS connection")
		}
		var n int
		if err := c.QueryRow(t.Context(), "SELECT $1::int", 7).Scan(&n); err != nil || n != 7 {
			t.Error(n, err)
		}
		c.Close(t.Context())
	}
}

func TestPassesOtherThings(t *testing.T) {
	s := withServer(t)
	c := s.connect("sslmode=disable")
	ctx := t.Context()
	if _, err := c.Exec(ctx, "CREATE TEMP TABLE kept (id int, note text); LISTEN news"); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("long ", 100_000)
	n, err := c.CopyFrom(
		ctx,
		pgx.Identifier{"kept"},
		[]string{"id", "note"},
		pgx.CopyFromSlice(1000, func(i int) ([]any, error) {
			note := "short"
			if i == 500 {
				note = long
			}
			return []any{i, note}, nil
		}),
	)
	if n != 1000 || err != nil {
		t.Fatal(n, err)
	}
	var got strings.Builder
	if _, err := c.PgConn().
		CopyTo(ctx, &got, "COPY kept TO STDOUT"); err != nil ||
		strings.Count(got.String(), "\n") != 1000 {
		t.Fatal(err)
	}
	var note string
	if err := c.QueryRow(ctx, "SELECT note || $1 FROM kept WHERE id = 500", long).
		Scan(&note); err != nil ||
		note != long+long {
		t.Fatal(len(note), err)
	}
	if _, err := c.CopyFrom(ctx, pgx.Identifier{"kept"}, []string{"id"}, pgx.CopyFromFunc(func() ([]any, error) {
		return nil, errors.New("no more")
	})); err == nil {
		t.Error("a copy that fails did not")
	}
	other := s.connect("sslmode=disable")
	if _, err := other.Exec(ctx, "NOTIFY news, 'heard'"); err != nil {
		t.Fatal(err)
	}
	if news, err := c.WaitForNotification(ctx); err != nil || news.Payload != "heard" {
		t.Error(news, err)
	}
	if _, err = c.PgConn().Exec(ctx, "SELECT 1").ReadAll(); err != nil {
		t.Error(err)
	}
	cancels(t, other)
	s.statements()
}
