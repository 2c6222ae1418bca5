package wiretap

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
)

// longKey is how long a server's cancel key is in version 3.2 of the protocol,
// which came with PostgreSQL 18; older servers negotiate 3.0, with four bytes.
const longKey = 32

// TestProtocolVersions lets clients and servers agree on a version through the
// tap, and cancels by the key that comes of it.
func TestProtocolVersions(t *testing.T) {
	s := withServer(t)
	for _, version := range []string{"3.0", "3.2"} {
		t.Run(version, func(t *testing.T) {
			c := s.connect("sslmode=disable&max_protocol_version=" + version)
			var number int
			if err := c.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&number); err != nil {
				t.Fatal(err)
			}
			want := 4
			if version == "3.2" && number >= 180_000 {
				want = longKey
			}
			if got := len(c.PgConn().SecretKey()); got != want {
				t.Errorf("the cancel key of server %d has %d bytes, want %d", number, got, want)
			}
			cancels(t, c)
		})
	}
}

// cancels has a statement cancelled by its connection's key.
func cancels(t *testing.T, c *pgx.Conn) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(ctx, "SELECT pg_sleep(30)")
		done <- err
	}()
	for {
		select {
		case err := <-done:
			if pg := (*pgconn.PgError)(nil); !errors.As(err, &pg) || pg.Code != "57014" {
				t.Errorf("got %v, want that it was cancelled", err)
			}
			return
		case <-time.After(50 * time.Millisecond): // one that comes early cancels nothing
			if err := c.PgConn().CancelRequest(ctx); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestDirectTLS begins with the handshake, as clients of PostgreSQL 17 may.
func TestDirectTLS(t *testing.T) {
	s := tapBefore(t, postgrestest.Start(t), true)
	c, err := pgx.Connect(t.Context(), "postgres://postgres@"+s.Address()+"/app?sslmode=require&sslnegotiation=direct")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, ok := c.PgConn().Conn().(*tls.Conn); !ok {
		t.Error("it is no TLS connection")
	}
	cancels(t, c)
}
