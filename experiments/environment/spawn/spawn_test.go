package spawn

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments/environment/procs"
	"github.com/seatrial/seatrial/experiments/environment/redact"
	"github.com/seatrial/seatrial/experiments/journal"
)

func TestMain(m *testing.M) {
	switch os.Getenv("SPAWN_TEST") {
	case "flood":
		line := strings.Repeat("x", 99) + "\n"
		chunk := strings.Repeat(line, 1000)
		for range 1000 { // 100 MB
			if _, err := os.Stdout.WriteString(chunk); err != nil {
				os.Exit(3)
			}
		}
		os.Exit(7)
	default:
		goleak.VerifyTestMain(m)
	}
}

// registry remembers who is known.
type registry struct {
	mu    sync.Mutex
	alive map[int]bool
}

func (r *registry) Add(pid int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alive[pid] = true
	return nil
}

func (r *registry) Forget(pid int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.alive, pid)
	return nil
}

func spawner(t *testing.T) (*Spawner, *registry) {
	t.Helper()
	r := &registry{alive: map[int]bool{}}
	s := New(r)
	t.Cleanup(s.Close)
	return s, r
}

func lines(j *journal.Memory) (texts []string, lost int) {
	for _, l := range journal.Of[journal.LogLine](j) {
		texts = append(texts, l.Text)
		lost += l.Lost
	}
	return texts, lost
}

func TestOutputAndExit(t *testing.T) {
	s, r := spawner(t)
	j := journal.NewMemory(journal.Header{})
	var secrets redact.Secrets
	secrets.Add("pa55word")
	log := NewLines("replica-1", j, &secrets)
	p, err := s.Start(Spec{
		Path: "/bin/sh", Args: []string{"-c", `echo hello; echo "the pa55word" >&2; printf '\377x'; exit 3`}, Line: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	if e := p.Exit(); e.Code != 3 || e.Signal != "" || e.PID != p.PID() || e.String() != "exited with status 3" {
		t.Errorf("exit %+v %s", e, e)
	}
	got, _ := lines(j)
	all := strings.Join(got, "|")
	if !strings.Contains(all, "hello") || !strings.Contains(all, "the [secret]") || !strings.Contains(all, "\uFFFDx") {
		t.Errorf("lines %q", got)
	}
	if tail := strings.Join(log.Tail(), "|"); !strings.Contains(tail, "the [secret]") {
		t.Errorf("tail %q", tail)
	}
	if len(r.alive) != 0 {
		t.Errorf("still known: %v", r.alive)
	}
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, ErrExited) {
		t.Errorf("a signal after the end: %v", err)
	}
}

func TestAFloodIsReadAndCounted(t *testing.T) {
	s, _ := spawner(t)
	j := journal.NewMemory(journal.Header{})
	p, err := s.Start(Spec{Path: os.Args[0], Env: []string{"SPAWN_TEST=flood"}, Line: NewLines("r", j, nil)})
	if err != nil {
		t.Fatal(err)
	}
	if e := p.Exit(); e.Code != 7 {
		t.Errorf("the service was held up: %s", e)
	}
	texts, lost := lines(j)
	if n := len(texts); n < lineBurst/2 || n > 40_000 {
		t.Errorf("%d lines were taken down", n)
	}
	// The entry that ends a flood holds no line of its own.
	if n := len(texts) + lost; n != 1_000_000 && n != 1_000_001 {
		t.Errorf("%d lines were taken down or counted, want all million", n)
	}
}

func TestLongLines(t *testing.T) {
	s, _ := spawner(t)
	j := journal.NewMemory(journal.Header{})
	p, err := s.Start(Spec{
		Path: "/bin/sh", Args: []string{"-c", `head -c 100000 /dev/zero | tr '\0' a; echo; echo b`},
		Line: NewLines("r", j, nil),
		Env:  []string{"PATH=" + os.Getenv("PATH")},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Exit()
	var got []journal.LogLine
	for _, l := range journal.Of[journal.LogLine](j) {
		got = append(got, l)
	}
	if len(got) != 2 || len(got[0].Text) != LineBytes || !got[0].Cut || got[1].Text != "b" || got[1].Cut {
		t.Errorf("got %d lines, the first of %d bytes, cut %v", len(got), len(got[0].Text), got[0].Cut)
	}
}

func TestTheGroupEndsWithItsLeader(t *testing.T) {
	s, _ := spawner(t)
	j := journal.NewMemory(journal.Header{})
	lead := Spec{Path: "/bin/sh", Args: []string{"-c", "sleep 60 & echo $!; exit 0"}, Line: NewLines("r", j, nil)}
	p, err := s.Start(lead)
	if err != nil {
		t.Fatal(err)
	}
	p.Exit()
	texts, _ := lines(j)
	var child int
	if _, err := fmt.Sscan(texts[0], &child); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); procs.Alive(child, 0); {
		if time.Now().After(deadline) {
			t.Fatal("the grandchild lives on")
		}
	}
}

func TestKillEndsAStoppedOne(t *testing.T) {
	s, _ := spawner(t)
	p, err := s.Start(Spec{Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; kill -STOP $$; sleep 60"}})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		if got, err := procs.Get(p.PID()); err == nil && got.State == 'T' || time.Now().After(deadline) {
			break
		}
	}
	err = p.Kill(t.Context())
	if err != nil || p.Exit().Signal != "killed" || p.Exit().Code != -1 {
		t.Errorf("%v, %+v", err, p.Exit())
	}
}

func TestStartErrors(t *testing.T) {
	s, _ := spawner(t)
	for want, spec := range map[string]Spec{
		"start /nowhere: no such file or directory":                 {Path: "/nowhere"},
		"start /bin/true: its folder cannot be entered: stat /gone": {Path: "/bin/true", Dir: "/gone"},
	} {
		spec.Line = NewLines("r", nil, nil)
		if _, err := s.Start(spec); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
