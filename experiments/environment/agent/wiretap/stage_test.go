package wiretap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

func TestMain(m *testing.M) {
	code := m.Run()
	postgrestest.Stop()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// stage is a tap before a server, with what it records.
type stage struct {
	*Tap
	t       *testing.T
	began   time.Time
	mu      sync.Mutex
	entries []journal.Entry
}

const testCanary = "0123456789abcdef0123456789abcdef"

func tapBefore(t *testing.T, upstream string, answerTLS bool) *stage {
	t.Helper()
	s := &stage{t: t, began: time.Now()}
	tap, err := Listen(t.Context(), "127.0.0.1:0", Config{
		Name: "db", Upstream: upstream, AnswerTLS: answerTLS, Canary: testCanary, Now: s.now,
		Record: func(e journal.Entry) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.entries = append(s.entries, e)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Tap = tap
	t.Cleanup(tap.Close)
	return s
}

func (s *stage) now() journal.Instant { return journal.Instant(time.Since(s.began)) }

// recorded are the entries so far; a note would say that the tap has lost count.
func (s *stage) recorded() []journal.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if n, ok := e.Body.(journal.Note); ok {
			s.t.Errorf("it noted: %s", n.Text)
		}
	}
	return slices.Clone(s.entries)
}

// statements are those recorded so far, but for startups.
func (s *stage) statements() (all []journal.Statement) {
	for _, e := range s.recorded() {
		if x, ok := e.Body.(journal.Statement); ok && x.Stage != journal.StageStartup {
			all = append(all, x)
		}
	}
	return all
}

func (s *stage) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = nil
}

func (s *stage) interfere(i faults.Interference) {
	s.t.Helper()
	i.Fault = "test"
	if err := s.Interfere("test", i); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) connect(options string) *pgx.Conn {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, "postgres://postgres@"+s.Address()+"/app?application_name=probe&"+options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func withServer(t *testing.T) *stage {
	return tapBefore(t, postgrestest.Start(t), false)
}

// code is an error's SQLSTATE.
func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return fmt.Sprint(err)
}

// modes are the ways in which pgx sends statements.
var modes = []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"}

func eachMode(t *testing.T, f func(t *testing.T, s *stage, c *pgx.Conn)) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			s := withServer(t)
			c := s.connect("sslmode=disable&default_query_exec_mode=" + mode)
			if _, err := c.Exec(t.Context(), "CREATE TEMP TABLE kept (id int, note text)"); err != nil {
				t.Fatal(err)
			}
			s.forget()
			f(t, s, c)
		})
	}
}

func executed(s journal.Statement) bool {
	return s.Stage == journal.StageExecute || s.Stage == journal.StageQuery
}

func shaped(s *stage, done string) (n int) {
	for _, x := range s.statements() {
		if x.Fault == "test" && x.Done == done {
			n++
		}
	}
	return n
}

func wantStored(t *testing.T, c *pgx.Conn, want ...int) {
	t.Helper()
	rows, _ := c.Query(t.Context(), "SELECT id FROM kept ORDER BY id")
	got, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stored are %v (%v), not %v", got, err, want)
	}
}

func eventually(t *testing.T, f func() bool) {
	t.Helper()
	for range 100 {
		if f() {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Error("it never came true")
}
