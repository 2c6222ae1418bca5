package docker

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

func TestInitialised(t *testing.T) {
	for folder, want := range map[string]string{
		"/var/lib/postgresql/data": "/var/lib/postgresql/",
		"/my data":                 "/",
	} {
		want = "FROM an/image:1\nLABEL seatrial.admin=SECRET\nADD [\"data.tar\", \"" + want + "\"]\n"
		if diff := cmp.Diff(want, initialised("an/image:1", folder, "SECRET")); diff != "" {
			t.Errorf("%s: %s", folder, diff)
		}
	}
}

// TestDatabase has a database made that no other test needs, once, and a server
// started that has it.
func TestDatabase(t *testing.T) {
	b, s := backend(t), tiny()
	s.Service.Replicas = 1
	d := &s.Dependencies[0]
	d.Database, d.User = "others", "other_service"
	said := 0
	count := func(string) { said++ }
	if err := b.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	made, err := b.database(t.Context(), *d, count, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, anew := range []bool{false, true} {
		again, err := b.database(t.Context(), *d, count, anew)
		if err != nil || again != made {
			t.Errorf("asked again, anew %v: another one, or %v", anew, err)
		}
	}
	if said > 1 || made.admin == "" {
		t.Errorf("it was made %d times; a password of %d letters", said, len(made.admin))
	}
	if other, err := b.database(t.Context(), tiny().Dependencies[0], nil, true); err != nil || other.image == made.image {
		t.Errorf("another database has the same image, or: %v", err)
	}
	if err := b.Prepare(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	e, err := b.Start(t.Context(), s, journal.NewMemory(journal.Header{}), environment.Options{Trial: "database"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(e.Stop(t.Context()), b.engine.removeImage(t.Context(), made.image)); err != nil {
			t.Error(err)
		}
	}()
	target, err := e.Target("postgres")
	if err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), target.(faults.SQL).ServiceDSN())
	if err != nil {
		t.Fatal(err)
	}
	var database, role string
	err = c.QueryRow(t.Context(), "SELECT current_database(), current_user").Scan(&database, &role)
	if err = errors.Join(err, c.Close(t.Context())); err != nil || database != "others" || role != "other_service" {
		t.Errorf("database %s as %s: %v", database, role, err)
	}
}
