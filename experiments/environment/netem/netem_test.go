package netem

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// made is a kernel that is made up.
type made struct {
	links   []int
	fails   map[int]error // adding to a device
	broken  error         // listing and counting
	now     map[int]faults.Packets
	removed []int
	tcp     uint64
}

func (k *made) Links() ([]int, error) { return k.links, k.broken }

func (k *made) Add(link int, p faults.Packets) error {
	if err := k.fails[link]; err != nil {
		return err
	}
	k.now[link] = p
	return nil
}

func (k *made) Remove(link int) error {
	delete(k.now, link)
	k.removed = append(k.removed, link)
	return nil
}

func (k *made) Count(link int) (sent, dropped uint64, err error) {
	return uint64(100 * link), uint64(link), k.broken
}

func (k *made) TCP() (again, twice uint64, err error) {
	k.tcp += 5
	return k.tcp, 2 * k.tcp, nil
}

// played is a helper that goes on.
type played struct {
	in   io.WriteCloser
	out  *bufio.Reader
	done chan error
}

func play(ctx context.Context, k kernel) *played {
	in, stdin := io.Pipe()
	out, stdout := io.Pipe()
	p := &played{in: stdin, out: bufio.NewReader(out), done: make(chan error, 1)}
	go func() {
		err := hold(ctx, k, in, stdout)
		_ = stdout.Close()
		_ = in.Close()
		p.done <- err
	}()
	return p
}

func (p *played) answer(t *testing.T) Answer {
	t.Helper()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	a, err := DecodeAnswer(line)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const request = `{"packets":{"loss":0.1,"delay":50000000}}` + "\n"

// TestHold disturbs two devices until the input ends, or the context does.
func TestHold(t *testing.T) {
	for name, end := range map[string]func(*played, context.CancelFunc){
		"input":   func(p *played, _ context.CancelFunc) { _ = p.in.Close() },
		"context": func(_ *played, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			k := &made{links: []int{2, 3}, now: map[int]faults.Packets{}}
			p := play(ctx, k)
			if _, err := io.WriteString(p.in, request); err != nil {
				t.Fatal(err)
			}
			if a := p.answer(t); a.Error() != nil {
				t.Fatal(a.Err)
			}
			want := faults.Packets{Loss: 0.1, Delay: 50 * time.Millisecond}
			if diff := cmp.Diff(map[int]faults.Packets{2: want, 3: want}, k.now); diff != "" {
				t.Error("in force (-want +got)", diff)
			}
			end(p, cancel)
			got := p.answer(t)
			count := journal.PacketCount{Sent: 505, Dropped: 5, Again: 5, Twice: 10}
			if diff := cmp.Diff(Answer{Count: count}, got); diff != "" {
				t.Error("at its end (-want +got)", diff)
			}
			if err := <-p.done; err != nil || len(k.now) > 0 {
				t.Errorf("%d devices are left disturbed: %v", len(k.now), err)
			}
			_ = p.in.Close()
		})
	}
}

// TestRefused has the kernel refuse: what has been done is taken back, and the
// reason is told.
func TestRefused(t *testing.T) {
	lacks := lack{"the engine's kernel has no network emulator"}
	for name, c := range map[string]struct {
		kernel  *made
		missing bool
		want    string
		removed []int
	}{
		"no emulator": {&made{links: []int{2}, fails: map[int]error{2: lacks}}, true, "no network emulator", nil},
		"the second":  {&made{links: []int{2, 3}, fails: map[int]error{3: errors.New("busy")}}, false, "busy", []int{2}},
		"no device":   {&made{}, false, "no device", nil},
		"no kernel":   {&made{broken: errors.New("no netlink")}, false, "no netlink", nil},
	} {
		t.Run(name, func(t *testing.T) {
			c.kernel.now = map[int]faults.Packets{}
			p := play(t.Context(), c.kernel)
			defer p.in.Close()
			if _, err := io.WriteString(p.in, request); err != nil {
				t.Fatal(err)
			}
			err := p.answer(t).Error()
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, faults.ErrNotHere) != c.missing {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err := <-p.done; err != nil || len(c.kernel.now) > 0 || !slices.Equal(c.kernel.removed, c.removed) {
				t.Errorf("ended with %v, %v in force, %v taken back", err, c.kernel.now, c.kernel.removed)
			}
		})
	}
}

// TestMuddled sends what is no request.
func TestMuddled(t *testing.T) {
	for _, text := range []string{"", "{", `{"packet":{}}`} {
		if err := hold(t.Context(), &made{}, strings.NewReader(text), io.Discard); err == nil {
			t.Errorf("%q was understood", text)
		}
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte(`{"count":{"sent":3,"dropped":1},"err":"no","missing":true}`))
	f.Add([]byte(`{"count":[]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		a, err := DecodeAnswer(line)
		if err == nil && (a.Err != "" || a.Missing) != (a.Error() != nil) {
			t.Errorf("%+v gives %v", a, a.Error())
		}
	})
}

// TestSystem asks this machine's kernel what needs no right.
func TestSystem(t *testing.T) {
	if _, err := (system{}).Links(); err != nil {
		t.Skip(err)
	}
	if _, _, err := (system{}).TCP(); err != nil {
		t.Error(err)
	}
	if _, _, err := (system{}).Count(1 << 30); err == nil {
		t.Error("a device that is not there has counted")
	}
}
