package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
	"github.com/seatrial/seatrial/experiments/subject"
)

// theirs is a server that somebody else runs, and its administrator's
// connection.
func theirs(t *testing.T) (address string, admin *pgx.Conn) {
	t.Helper()
	address = postgrestest.Start(t)
	t.Cleanup(postgrestest.Stop)
	conn, err := pgx.Connect(t.Context(), "postgres://postgres@"+address+"/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return address, conn
}

// made counts what trials made on a server.
func made(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	const count = `SELECT (SELECT count(*) FROM pg_database WHERE datname LIKE 'seatrial%')
  + (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'seatrial%')`
	if err := conn.QueryRow(t.Context(), count).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestExternal(t *testing.T) {
	address, conn := theirs(t)
	config := ExternalConfig{Run: "20261122-101237-crash-1", Secret: func(...string) {}, Dependency: subject.Dependency{
		Name: "db", Kind: subject.Postgres, Address: address,
		AdminURL: "postgres://postgres@" + address + "/postgres?sslmode=disable",
	}}
	t.Run("own database", func(t *testing.T) {
		e, err := Attach(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if n := made(t, conn); n != 3 || e.Version == "" || e.Shared() {
			t.Errorf("%d things made, version %q, shared %v", n, e.Version, e.Shared())
		}
		if !strings.HasPrefix(e.ServiceRole(), "seatrial_20261122_101237_crash_1_") {
			t.Errorf("the role is called %s", e.ServiceRole())
		}
		service, err := pgx.Connect(t.Context(), e.ServiceDSN())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := service.Exec(t.Context(), "CREATE TABLE t ()"); err == nil {
			t.Error("the service's role may create tables")
		}
		if found, err := FindExternal(t.Context(), conn); len(found) > 0 || err != nil {
			t.Errorf("what lives is taken for abandoned: %v %v", found, err)
		}
		if err := e.Stop(t.Context()); err != nil { // the service is still connected
			t.Error(err)
		}
		if err := e.Stop(t.Context()); err != nil || made(t, conn) != 0 {
			t.Errorf("%d things are left; %v", made(t, conn), err)
		}
	})
	t.Run("reaped", func(t *testing.T) {
		e, err := Attach(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		_ = e.keeper.Close(t.Context()) // as a SIGKILL does
		var gone []string
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range 250 { // a session ends a moment after its connection
			if gone, err = ReapExternal(t.Context(), conn); err != nil || len(gone) > 0 {
				break
			}
			<-tick.C
		}
		if err != nil || len(gone) != 1 || made(t, conn) != 0 {
			t.Errorf("reaped %v, %d things are left; %v", gone, made(t, conn), err)
		}
	})
	t.Run("their database", func(t *testing.T) {
		config := config
		config.Dependency.ServiceURL = "postgres://app_service@" + address + "/app?sslmode=disable"
		e, err := Attach(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if !e.Shared() || e.ServiceRole() != "app_service" || made(t, conn) != 0 {
			t.Errorf("shared %v, role %s, %d things made", e.Shared(), e.ServiceRole(), made(t, conn))
		}
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		other, err := pgx.Connect(t.Context(), config.Dependency.ServiceURL)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close(context.Background()) }()
		if _, err := Attach(t.Context(), config); err == nil || !strings.Contains(err.Error(), "1 connections of the role") {
			t.Errorf("with somebody else connected: %v", err)
		}
	})
	t.Run("no superuser", func(t *testing.T) {
		config := config
		config.Dependency.AdminURL = "postgres://app_service@" + address + "/app?sslmode=disable"
		if _, err := Attach(t.Context(), config); err == nil || !strings.Contains(err.Error(), "no superuser") {
			t.Errorf("got %v", err)
		}
	})
}

func TestOldEnough(t *testing.T) {
	if err := oldEnough("12.22", 120022); err == nil || !strings.Contains(err.Error(), "PostgreSQL 12.22") {
		t.Errorf("12.22: %v", err)
	}
	if err := oldEnough("13.0", 130000); err != nil {
		t.Error(err)
	}
}

// The server itself takes what we say the password's verifier is.
func TestVerifier(t *testing.T) {
	a, err := verifier("one")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := verifier("one")
	if a == b || !strings.HasPrefix(a, "SCRAM-SHA-256$4096:") || strings.Contains(a, "one") {
		t.Errorf("%q and %q", a, b)
	}
}
