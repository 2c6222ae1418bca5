package main

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
)

// What a fault by SQL left in a database that somebody else runs is found and
// removed, and what belongs to a seatrial that lives is left alone.
func TestReapDatabase(t *testing.T) {
	url := "postgres://postgres@" + postgrestest.Start(t) + "/app?sslmode=disable"
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, _ = conn.Exec(context.Background(), `DROP SCHEMA IF EXISTS "seatrial-alive-1"`)
		_ = conn.Close(context.Background())
	}()
	_, err = conn.Exec(t.Context(), `CREATE SCHEMA "seatrial-dead-1"; CREATE SCHEMA "seatrial-alive-1";
		SELECT pg_advisory_lock(hashtextextended('seatrial-alive-1', 0))`)
	if err != nil {
		t.Fatal(err)
	}
	y := newYard(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"doctor"}, "left behind, remove with --reap: schema seatrial-dead-1"},
		{[]string{"doctor", "--reap"}, "removed: schema seatrial-dead-1"},
		{[]string{"doctor"}, "nothing left"},
	} {
		v := y.run(append(c.args, "--database", url)...)
		v.wait()
		if said := v.out.String(); !strings.Contains(said, c.want) || strings.Contains(said, "alive") {
			t.Errorf("%v said:\n%s%s", c.args, said, v.errors.String())
		}
	}
	v := y.run("doctor", "--database", "postgres://u:hunter2@:x/")
	if code := v.wait(); code != experiments.ExitError || strings.Contains(v.out.String()+v.errors.String(), "hunter2") {
		t.Errorf("exit code %d:\n%s", code, v.out.String())
	}
}
