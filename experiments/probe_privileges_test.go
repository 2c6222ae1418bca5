package experiments

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
	"github.com/seatrial/seatrial/experiments/journal"
)

// TestDescribeRole has a role that gets more and more; each step is taken back.
func TestDescribeRole(t *testing.T) {
	url := "postgres://postgres@" + postgrestest.Start(t) + "/app?sslmode=disable"
	t.Cleanup(postgrestest.Stop)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var number int
	err = conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&number)
	if err != nil {
		t.Fatal(err)
	}
	const owner = "CREATE ROLE boss CREATEDB; CREATE TABLE kept (); ALTER TABLE kept OWNER TO boss; "
	for name, tt := range map[string]struct {
		since int // server_version_num
		do    string
		want  journal.Privileges
	}{
		"nothing": {0, owner, journal.Privileges{}},
		"a member": {
			0, owner + "GRANT boss TO app_service",
			journal.Privileges{CreateDB: true, Owns: 1, Owned: []string{"public.kept"}},
		},
		"a member who cannot become it and does not inherit": {
			160_000, owner + "GRANT boss TO app_service WITH SET FALSE, INHERIT FALSE", journal.Privileges{},
		},
		"a member who only inherits": {
			160_000, owner + "GRANT boss, pg_write_server_files TO app_service WITH SET FALSE, INHERIT TRUE",
			journal.Privileges{Owns: 1, Owned: []string{"public.kept"}, Server: []string{"pg_write_server_files"}},
		},
		"a member who only becomes it": {
			160_000, owner + "GRANT boss TO app_service WITH SET TRUE, INHERIT FALSE",
			journal.Privileges{CreateDB: true, Owns: 1, Owned: []string{"public.kept"}},
		},
		"creates": {
			0, "GRANT CREATE ON SCHEMA public TO app_service; GRANT CREATE ON DATABASE app TO app_service",
			journal.Privileges{Creates: []string{"database app", "schema public"}},
		},
		"who may run programs": {
			0, "GRANT pg_execute_server_program TO app_service",
			journal.Privileges{Server: []string{"pg_execute_server_program"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if number < tt.since {
				t.Skipf("server %d is older than %d", number, tt.since)
			}
			// Up to 14 everybody may create in public.
			tx := "BEGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC; " + tt.do
			if _, err := conn.PgConn().Exec(t.Context(), tx).ReadAll(); err != nil {
				t.Fatal(err)
			}
			defer func() { _, _ = conn.PgConn().Exec(context.Background(), "ROLLBACK").ReadAll() }()
			got, err := describeRole(t.Context(), conn, "app_service")
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Role = "app_service"
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
