package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/journal"
)

const ownEnv = "env: {"

// cause is the sentence in which seatrial says why the trial was not carried
// out.
func (v *voyage) cause() string {
	v.t.Helper()
	v.wait()
	t := v.trial()
	if t.Error != "" {
		return t.Error
	}
	return t.Experiments[0].Verdict.Reason
}

// A trial that cannot be carried out says why in one sentence, with what can
// be done about it, exits with 4 and leaves nothing behind.
func TestWhatCannotBeTried(t *testing.T) {
	needsPostgres := func(t *testing.T) {
		t.Helper()
		if _, ok, err := postgres.Find(t.Context(), ""); err != nil || !ok {
			t.Skip("no PostgreSQL on this machine:", err)
		}
	}
	for _, c := range []struct {
		name    string
		needs   func(*testing.T)
		changes []string
		want    string
		then    string // after that
	}{
		{
			name: "does not build", changes: []string{"PLACE/tiny", "PLACE/broken"},
			want: "build .: ./main.go:4:15: undefined: undefinedName",
		},
		{
			name: "crashes at once", changes: []string{ownEnv, "env: {MODE: crash, LICENCE_TOKEN: hush-hush, "},
			want: "tiny-1 exited with status 1 before it was ready; " +
				"it printed last: tiny: the licence has run out, said [secret]",
		},
		{
			name: "is never ready", changes: []string{
				ownEnv, "env: {MODE: unready, ", "start_within: 10s", "start_within: 500ms",
			},
			want: "tiny-1 was not ready within 500ms (start_within): GET http://127.0.0.1:",
			then: "/readyz answered 503 Service Unavailable; it printed nothing",
		},
		{
			name: "fails its setup", changes: []string{
				"traffic:", "traffic:\n  setup: [{name: login, method: POST, path: /login}]\n" +
					"  headers: {Authorization: Bearer hush-hush}",
			},
			want: `setup of the traffic: request "login": POST /login answered 403, ` +
				`which is no success here: "no such user: [secret]`,
		},
		{
			name: "has no server binaries", changes: []string{
				"dependencies:", "dependencies:\n  db: {kind: postgres, bin: PLACE}",
			},
			want: "db: there are no programs postgres and initdb in ",
			then: "; set the dependency's bin to the folder that holds them, or leave it out",
		},
		{
			name: "has a setting that postgres refuses", needs: needsPostgres, changes: []string{
				"dependencies:", "dependencies:\n  db: {kind: postgres, settings: {max_connections: lots}}",
			},
			want: `LOG:  invalid value for parameter "max_connections": "lots"; `,
			then: "; see whether the dependency's settings are to blame",
		},
		{
			name: "has migrations that fail", needs: needsPostgres, changes: []string{
				"dependencies:", "dependencies:\n  db: {kind: postgres, migrations: PLACE/broken/migrations}",
			},
			want: `db: run migration 1_orders.sql: ERROR: syntax error at or near "TABEL" (SQLSTATE 42601)`,
		},
		{
			name: "has a command before that fails", changes: []string{
				"  readiness:", "  before: [{run: [sh, -c, 'echo the schema is locked; exit 3']}]\n  readiness:",
			},
			want: "service.before[0]: sh -c echo the schema is locked; exit 3: it exited with status 3; " +
				"it printed last: the schema is locked",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.needs != nil {
				c.needs(t)
			}
			y := newYard(t, c.changes...)
			v := y.run("run", "dip")
			v.ended(experiments.ExitError, "ERROR")
			cause := v.cause()
			if _, after, ok := strings.Cut(cause, c.want); !ok || !strings.Contains(after, c.then) {
				t.Errorf("the cause is\n%s\nwant\n%s…%s", cause, c.want, c.then)
			}
			if strings.Contains(strings.TrimSpace(cause), "\n") {
				t.Errorf("the cause is not one sentence:\n%s", cause)
			}
			y.reported(y.trial())
		})
	}
}

func TestAPortInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	y := newYard(t, "  replicas: 1", "  replicas: 1\n  ports: {http: "+port+"}")
	v := y.run("run", "dip")
	v.ended(experiments.ExitError, "port http of the service cannot be used: listen tcp 127.0.0.1:"+port+
		": bind: address already in use; free it, or let the service be told its port")
}

// A service that prints without end neither fills the disk nor ends the run.
func TestAFloodOfLog(t *testing.T) {
	t.Parallel()
	y := newYard(t, ownEnv, "env: {MODE: flood, ", "rate: 200", "rate: 20")
	v := y.run("run", "dip", "--attempts=1")
	if code := v.wait(); code == experiments.ExitError || code == experiments.ExitAborted {
		t.Errorf("exit code %d:\n%s%s", code, v.out.String(), v.errors.String())
	}
	y.nothingLeft()
	trial := y.trial()
	y.reported(trial)
	dir := filepath.Join(trial.Dir, filepath.FromSlash(trial.Experiments[0].Runs[0]))
	j, err := journal.Open(dir)
	y.must(err)
	lost, kept := 0, 0
	for _, line := range journal.Of[journal.LogLine](j) {
		lost += line.Lost
		kept++
	}
	var size int64
	y.must(filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil {
			size += info.Size()
		}
		return err
	}))
	t.Logf("%d lines kept, %d counted, %d bytes in all", kept, lost, size)
	if lost < 50_000 || kept < 500 || size > 16<<20 {
		t.Errorf("%d lines kept, %d counted as lost, %d bytes in all", kept, lost, size)
	}
}

// A disk that is full while the journal is written ends the run.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	y := newYard(t, "rate: 200", "rate: 800")
	runs := filepath.Join(y.dir, "runs")
	y.must(os.Mkdir(runs, 0o700))
	y.smallDisk(runs, "96k")
	v := y.run("run", "dip", "--attempts=1")
	v.ended(experiments.ExitError, "the disk is full: write runs/", "no space left on device; free some of it, "+
		"or name a folder on another one with --out")
	printed := v.out.String()
	_, named, _ := strings.Cut(printed, "report: runs/")
	named, _, _ = strings.Cut(named, "\n")
	if _, err := os.Stat(filepath.Join(runs, named)); named != "" && err != nil {
		t.Errorf("a report is named that is not there: %v\n%s", err, printed)
	}
}

// A disk that is full where the service is built and its databases are made.
func TestAFullScratchDisk(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	small := y.smallDisk(y.tmp, "64k")
	v := y.run("run", "dip", "--attempts=1")
	v.ended(experiments.ExitError, "the disk is full: ", "no space left on device; free some of it, "+
		"or set TMPDIR to a folder on another one")
	y.must(unix.Unmount(small, 0))
	y.reported(y.trial())
}

// smallDisk mounts one there.
func (y *yard) smallDisk(dir, size string) string {
	y.t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755,size="+size); err != nil {
		y.t.Skip("a small disk cannot be mounted here:", err)
	}
	y.t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestFilesWithMistakes(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.run("run", "dup").ended(experiments.ExitUsage, `no experiment is called "dup"; did you mean dip`)
	bad := strings.NewReplacer("name: dip", "name: bad", "fault: outage", "fault: outrage")
	y.file("experiments/bad.yaml", bad.Replace(dip))
	v := y.run("run", "dip")
	v.ended(experiments.ExitUsage, "bad.yaml:7:44: no fault is called", "expected outage, ", "^\n")
	y.file("seatrial.yaml", "version: 1\nname: tiny\nservice: {biuld: {package: .}}\n")
	v = y.run("run", "dip")
	v.ended(experiments.ExitUsage, "seatrial.yaml:3:11: unknown key \"biuld\"; expected build, ", "| service: {biuld:")
	y = newYard(t, ownEnv, "env: {PEER: \"${env.SEA_MISSING}\", ")
	v = y.run("run", "dip")
	v.ended(experiments.ExitUsage, "seatrial.yaml:8:",
		"the environment variable SEA_MISSING is not set; set it before seatrial is started")
	if found := y.trials(); len(found) > 0 {
		t.Error("a folder was made:", found)
	}
}
