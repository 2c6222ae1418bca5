package main

import (
	"bytes"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/journal"
)

// A service that prints every secret that it has been told puts none of them
// into the trial's folder.
func TestSecretsAreNotWrittenOut(t *testing.T) {
	t.Parallel()
	if _, ok, err := postgres.Find(t.Context(), ""); err != nil || !ok {
		t.Skip("no PostgreSQL on this machine:", err)
	}
	const token, password = "tok-5f1c77aa90", "correct/horse&battery"
	diary := filepath.Join(t.TempDir(), "diary")
	y := newYard(t,
		"dependencies:", "dependencies:\n  db: {kind: postgres}",
		ownEnv, "env: {MODE: indiscreet, DIARY: "+diary+", DSN: \"${db.url}\", SMTP_PASSWORD: "+password+
			", PEER: \"${env.SEA_PEER}\", ",
		"traffic:", "traffic:\n  headers: {Authorization: \"Bearer ${env.SEA_TOKEN}\"}",
	)
	const peer = "peer-0a1b2c3d4e"
	y.env = []string{"SEA_TOKEN=" + token, "SEA_PEER=" + peer}
	said := ""
	for _, args := range [][]string{
		{"run", "dip", "--attempts=1", "-v"}, {"judge", "runs/latest", "-v"}, {"report", "runs/latest", "-v"},
	} {
		v := y.run(args...)
		printed := v.out.String() + v.errors.String()
		if code := v.wait(); code == experiments.ExitError || code == experiments.ExitUsage {
			t.Errorf("%v: exit code %d:\n%s", args, code, printed)
		}
		said += printed
	}
	y.nothingLeft()
	secrets := append([]string{token, password, url.QueryEscape(password), peer}, dsnSecrets(t, diary)...)
	trial := y.trial()
	printed := 0
	j, err := journal.Open(filepath.Join(trial.Dir, filepath.FromSlash(trial.Experiments[0].Runs[0])))
	y.must(err)
	for _, line := range journal.Of[journal.LogLine](j) {
		if strings.HasPrefix(line.Text, "token [secret]") || strings.HasPrefix(line.Text, "settings ") {
			printed++
		}
	}
	if printed < 20 {
		t.Errorf("the service printed its secrets %d times; that shows nothing", printed)
	}
	y.must(filepath.WalkDir(filepath.Join(y.dir, "runs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, secret := range secrets {
			if i := bytes.Index(b, []byte(secret)); i >= 0 {
				t.Errorf("%s holds %q: …%s…", path, secret, b[max(0, i-80):i])
			}
		}
		return err
	}))
	for _, secret := range secrets {
		if strings.Contains(said, secret) {
			t.Errorf("%q was printed", secret)
		}
	}
}

// dsnSecrets reads the database's password from what the service was told.
func dsnSecrets(t *testing.T, diary string) []string {
	t.Helper()
	b, err := os.ReadFile(diary)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if dsn, ok := strings.CutPrefix(strings.TrimSpace(line), "DSN="); ok {
			u, err := url.Parse(dsn)
			if err != nil {
				t.Fatal(err)
			}
			if password, ok := u.User.Password(); ok && len(password) > 10 {
				return []string{password, dsn}
			}
		}
	}
	t.Fatal("the service was told no DSN with a password")
	return nil
}
