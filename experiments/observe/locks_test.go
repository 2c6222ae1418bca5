package observe

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

// testLocks has a reader, a migrator that waits for it, and the service that
// queues behind the migrator.
func (s *server) testLocks(t *testing.T) {
	admin, reader, migrator, service := s.session("admin"), s.session("admin"), s.session("admin"), s.session("service")
	for _, do := range []string{"CREATE TABLE parts ()", "GRANT ALL ON parts TO service"} {
		if _, err := admin.Exec(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := reader.Exec(t.Context(), "BEGIN; LOCK TABLE parts IN ACCESS SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() {
		_, err := migrator.Exec(context.Background(), "ALTER TABLE parts  ADD COLUMN code text DEFAULT 'secret'")
		ended <- err
	}()
	ctx, stop := context.WithCancel(t.Context())
	m := journal.NewMemory(journal.Header{})
	watching := make(chan error, 1)
	go func() { watching <- (&Locks{Role: "service", Connect: s.connect("admin")}).Observe(ctx, m) }()
	last := func() (l journal.Locks) {
		if all := bodies[journal.Locks](m); len(all) > 0 {
			l = all[len(all)-1]
		}
		return l
	}
	until(t, func() bool {
		return slices.ContainsFunc(last().Sessions, func(b journal.Session) bool { return b.Waits })
	})
	go func() {
		_, err := service.Exec(context.Background(), "SELECT FROM parts")
		ended <- err
	}()
	until(t, func() bool { return len(last().Tables) == 3 && len(last().Sessions) == 3 }) // they are two questions
	sample := last()
	if _, err := reader.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	checkLocks(t, sample, int(reader.PgConn().PID()), int(migrator.PgConn().PID()), int(service.PgConn().PID()))
	until(t, func() bool { return len(last().Sessions) == 0 && len(last().Tables) == 0 && last().Err == "" })
	stop()
	if err := <-watching; err != nil {
		t.Error(err)
	}
}

func checkLocks(t *testing.T, sample journal.Locks, reader, migrator, service int) {
	t.Helper()
	sessions := map[int]journal.Session{}
	for _, b := range sample.Sessions {
		sessions[b.PID] = b
		if b.Statement == 0 || b.App != "orders" {
			t.Errorf("a session is recorded as %+v", b)
		}
	}
	if sample.Err != "" || len(sessions) != 3 {
		t.Fatalf("recorded %+v", sample)
	}
	if b := sessions[reader]; b.Waits || b.Service || b.XactAge <= 0 {
		t.Errorf("the reader: %+v", b)
	}
	if b := sessions[migrator]; !b.Waits || b.Service ||
		b.Query != "ALTER TABLE parts ADD COLUMN code text DEFAULT …" {
		t.Errorf("the migrator: %+v", b)
	}
	if b := sessions[service]; !b.Waits || !b.Service || b.Query != "" {
		t.Errorf("the service: %+v", b)
	}
	want := []journal.TableLock{
		{PID: reader, Table: "parts", Mode: "AccessShareLock", Granted: true},
		{PID: migrator, Table: "parts", Mode: "AccessExclusiveLock"},
		{PID: service, Table: "parts", Mode: "AccessShareLock"},
	}
	slices.SortFunc(want, func(a, b journal.TableLock) int { return a.PID - b.PID })
	if diff := cmp.Diff(want, sample.Tables); diff != "" {
		t.Errorf("locks on tables (-want +got):\n%s", diff)
	}
}
