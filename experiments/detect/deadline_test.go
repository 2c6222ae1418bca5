package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// hanging is a journal in which payments hangs: payments are answered with 504
// after so long, and the call to it is hung up on after so long.
func hanging(answered, held time.Duration, edit func(i int, r *journal.Request)) *journal.Memory {
	m := fixture()
	step(m, 0, faultFrom, faultTo)
	load(m, func(i int, r *journal.Request) {
		if r.Route == "pay" && inFault(r.Due) {
			fail(r, 504, answered)
			if held > 0 {
				c := journal.Call{Method: "POST", Path: "/charge", BodyRead: true, Fault: "status", HungUp: true, HungUpAfter: held}
				m.Record(journal.Entry{At: r.Sent, On: "payments", Body: c})
			}
		}
		if edit != nil {
			edit(i, r)
		}
	})
	return m
}

func TestDeadline(t *testing.T) {
	s := time.Second
	timedOut := func(after time.Duration) func(int, *journal.Request) {
		return func(_ int, r *journal.Request) {
			if r.Due == 5*sec {
				r.Code, r.OK, r.Err, r.Done = 0, false, journal.ErrTimeout, r.Sent.Add(after)
			}
		}
	}
	lagging := func(lag time.Duration) func(int, *journal.Request) {
		return func(_ int, r *journal.Request) {
			took := r.RawLatency()
			r.Sent = r.Due.Add(lag)
			r.Done = r.Sent.Add(took)
		}
	}
	for _, tt := range []struct {
		name string
		j    journal.Journal
		want Outcome
		says string
	}{
		{"in time", hanging(2*s, 2*s, nil), Held, "over 250 requests"},
		{"just in time", hanging(5500*ms, 5500*ms, nil), Held, "5.5s"},
		{"a bit late", hanging(5510*ms, 2*s, nil), Unknown, "too close to tell"},
		{"nearly twice", hanging(10*s, 2*s, nil), Unknown, "too close to tell"},
		{"more than twice", hanging(10001*ms, 2*s, nil), Violated, "more than twice the promise"},
		{"call a bit late", hanging(2*s, 5510*ms, nil), Unknown, "250 calls"},
		{"call left open", hanging(2*s, 11*s, nil), Violated, "end them with their caller's context"},
		{"one never answered", hanging(2*s, 2*s, timedOut(6*s)), Violated, "1 waited"},
		{"our client gave up early", hanging(2*s, 2*s, timedOut(3*s)), Unknown, "a timeout of more than 5.5s"},
		{"late only by the generator", hanging(3*s, 2*s, lagging(3*s)), Unknown, "too close to tell"},
		{"even later only by the generator", hanging(9*s, 2*s, lagging(3*s)), Unknown, "too close to tell"},
		{"not met", hanging(0, 0, func(_ int, r *journal.Request) { r.OK, r.Code = true, 200 }), Unknown, "not met"},
		{"calls that did not hang", hangsElsewhere(), Unknown, "not met"},
		{"nobody is there to answer", hanging(ms, 0, func(_ int, r *journal.Request) {
			if !r.OK {
				r.Code, r.Err = 0, journal.ErrEOF
			}
		}), Unknown, "only 0 of them were answered"},
		{"another status", hanging(2*s, 2*s, func(_ int, r *journal.Request) {
			if !r.OK {
				r.Code = 500
			}
		}), Held, "250 × 500"},
		{"dropped", hanging(2*s, 2*s, func(i int, r *journal.Request) {
			if i%20 == 0 {
				drop(r)
			}
		}), Unknown, "fell short"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, (&Deadline{Slack: 500 * ms, MinSamples: 20}).Detect(tt.j), tt.want, tt.says)
		})
	}
}

// hangsElsewhere is a hang of which no call of the service has a part.
func hangsElsewhere() *journal.Memory {
	m := fixture(func(h *journal.Header) { h.Method[0].Action = "hang" })
	step(m, 0, faultFrom, faultTo)
	load(m, func(_ int, r *journal.Request) {
		if r.Route == "pay" {
			c := journal.Call{Method: "GET", Path: "/rates", BodyRead: true, Status: 200, Answered: ms}
			m.Record(journal.Entry{At: r.Sent, On: "payments", Body: c})
		}
	})
	return m
}

func TestDeadlineCounts(t *testing.T) {
	f := (&Deadline{Slack: 500 * ms, MinSamples: 20}).Detect(hanging(2*time.Second, 3*time.Second, nil))
	if got := value(t, f, "answer_max"); got != 2 {
		t.Errorf("longest answer is %v", got)
	}
	if got := value(t, f, "call_max"); got != 3 {
		t.Errorf("longest call is %v", got)
	}
	if len(f.Evidence) != 2 || f.Evidence[0].Kind != "request" || f.Evidence[1].Kind != "call" {
		t.Errorf("evidence is %+v", f.Evidence)
	}
	few := &Deadline{MinSamples: 251}
	expect(t, few.Detect(hanging(time.Second, time.Second, nil)), Unknown, "251 are needed")
}

// A call that was still open when the recording ended says something only when
// it had been open for long.
func TestDeadlineOpenCalls(t *testing.T) {
	s := time.Second
	for age, want := range map[time.Duration]Outcome{s: Held, 7 * s: Unknown, 15 * s: Violated} {
		m := hanging(2*time.Second, 2*time.Second, nil)
		m.Record(journal.Entry{At: 4 * sec, On: "payments", Body: journal.Call{Open: true, Age: age}})
		expect(t, (&Deadline{Slack: 500 * ms, MinSamples: 20}).Detect(m), want)
	}
}

// A call that is held until what hung is taken back would have been held for
// longer: a handler that has answered, and forgotten its call.
func TestDeadlineOfCallsThatWereCut(t *testing.T) {
	for _, tt := range []struct {
		age  time.Duration
		want Outcome
		says string
	}{
		{5 * time.Second, Held, "held for 5s at most"},
		{6 * time.Second, Unknown, "too close to tell"},
		{10100 * ms, Violated, "end them with their caller's context"},
	} {
		m := hanging(2*time.Second, 0, nil)
		c := journal.Call{Method: "POST", Path: "/charge", BodyRead: true, Fault: "hang", Age: tt.age}
		m.Record(journal.Entry{At: faultFrom + 1, On: "payments", Body: c})
		expect(t, (&Deadline{Slack: 500 * ms, MinSamples: 20}).Detect(m), tt.want, tt.says)
	}
}

// A hang that is shorter than the promise shows nothing of a deadline.
func TestDeadlineNeedsALongHang(t *testing.T) {
	promised := func(within time.Duration, action string) *journal.Memory {
		m := fixture(func(h *journal.Header) { h.Promises.AnswersWithin, h.Method[0].Action = within, action })
		step(m, 0, faultFrom, faultTo)
		load(m, func(_ int, r *journal.Request) {
			if r.Route == "pay" && inFault(r.Due) {
				fail(r, 504, 2*time.Second)
			}
		})
		return m
	}
	d := &Deadline{Slack: 500 * ms, MinSamples: 20}
	expect(t, d.Detect(promised(9500*ms, "hang")), Held)
	expect(t, d.Detect(promised(9600*ms, "hang")), Unknown, `step "hang" hung for only 10s`, "longer than 10.1s")
	expect(t, d.Detect(promised(time.Minute, "outage")), Held)
}
