package detect

import (
	"fmt"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// resubmitted is a journal of n keys of each group, all answered and stored as
// promised unless edited. Keys s0… are submitted one after the other, keys r0…
// at the same moment.
func resubmitted(n int, edit func(*journal.Submission), stored func(key string) int) journal.Journal {
	m := fixture()
	at, rows := journal.Instant(0), 0
	send := func(key, form string) {
		at++
		s := journal.Submission{
			Attack: "submissions", Seq: uint64(at), Key: key, Form: form, Replica: "orders-1",
			Code: 201, ID: "id-" + key, BodyHash: "body-" + key,
		}
		if form == journal.SubmittedOther {
			s.Code, s.ID, s.BodyHash = 422, "", "refusal"
		}
		if edit != nil {
			edit(&s)
		}
		m.Record(journal.Entry{At: at, On: "submissions", Body: s})
	}
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf("s%d", i), fmt.Sprintf("r%d", i))
		send(keys[2*i], journal.SubmittedFirst)
		send(keys[2*i], journal.SubmittedAgain)
		send(keys[2*i], journal.SubmittedOther)
		for range 5 {
			send(keys[2*i+1], journal.SubmittedAtOnce)
		}
		send(keys[2*i+1], journal.SubmittedAgain)
	}
	for _, key := range keys {
		count := 1
		if stored != nil {
			count = stored(key)
		}
		rows += count
		if count > 0 {
			m.Record(journal.Entry{At: 20 * sec, On: "db", Body: journal.Stored{Key: key, Count: count}})
		}
	}
	m.Record(journal.Entry{At: 21 * sec, On: "db", Body: journal.Ledger{Rows: rows}})
	return m
}

// every edits each nth submission of a form.
func every(nth int, form string, edit func(*journal.Submission)) func(*journal.Submission) {
	n := 0
	return func(s *journal.Submission) {
		if s.Form == form {
			if n++; n%nth == 0 {
				edit(s)
			}
		}
	}
}

func coded(code int) func(*journal.Submission) {
	return func(s *journal.Submission) { s.Code, s.ID = code, "" }
}

func twiceStored(key string) int {
	if key == "r7" {
		return 2
	}
	return 1
}

var (
	_ = madeUpAs("duplicate_submits/held-one-write", func() journal.Journal { return resubmitted(190, nil, nil) })
	_ = madeUpAs("duplicate_submits/violated-stored-twice", func() journal.Journal {
		return resubmitted(190, nil, twiceStored)
	})
	_ = madeUpAs("duplicate_submits/unknown-few-keys", func() journal.Journal { return resubmitted(20, nil, nil) })
)

func TestDuplicateSubmits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		n      int
		edit   func(*journal.Submission)
		stored func(string) int
		want   Outcome
		says   string
	}{
		{"one write", 200, nil, nil, Held, "400 keys, of these 400 submitted again"},
		{"losers are told so", 200, every(2, journal.SubmittedAtOnce, coded(409)), nil, Held, ""},
		{"stored twice", 200, nil, twiceStored, Violated, "1 key is stored more than once"},
		{
			"another id", 200, every(150, journal.SubmittedAgain, func(s *journal.Submission) { s.ID = "other" }), nil,
			Violated, "2 answers name something else",
		},
		{"another body, no id", 200, func(s *journal.Submission) {
			s.ID = ""
			if s.Form == journal.SubmittedAgain && s.Key == "s3" {
				s.BodyHash = "other"
			}
		}, nil, Violated, "1 answer names something else"},
		{"the same in other words", 200, every(1, journal.SubmittedAgain, func(s *journal.Submission) {
			s.BodyHash = "replayed"
		}), nil, Held, "400 answers name the same thing in other words"},
		{
			"a conflict after an answer", 200, every(100, journal.SubmittedAgain, coded(409)), nil, Violated,
			"4 × 409 to a repetition after an answer",
		},
		{
			"a fault of the service", 200, every(500, journal.SubmittedAtOnce, coded(500)), nil, Violated,
			"2 × 500 to one of several at the same moment",
		},
		{
			"another body accepted", 200, every(100, journal.SubmittedOther, coded(200)), nil, Violated,
			"2 were answered with success",
		},
		{
			"another body breaks it", 200, every(100, journal.SubmittedOther, coded(500)), nil, Violated,
			"2 × 500 to another body",
		},
		{"another body is bad", 200, every(1, journal.SubmittedOther, coded(400)), nil, Held, "refused with 400"},
		{"some shed", 200, every(20, journal.SubmittedAtOnce, coded(503)), nil, Held, ""},
		{"many shed", 200, every(5, journal.SubmittedAtOnce, coded(503)), nil, Unknown, "200 × 503"},
		{
			"another body is the key's first", 200, func() func(*journal.Submission) {
				return func(s *journal.Submission) {
					switch {
					case s.Key != "s3":
					case s.Form == journal.SubmittedOther:
						s.Code, s.ID = 201, "other"
					default:
						coded(503)(s)
					}
				}
			}(), nil, Held, "",
		},
		{"a conflict before any answer", 200, func(s *journal.Submission) {
			switch {
			case s.Key != "s3":
			case s.Form == journal.SubmittedFirst:
				s.Code, s.Err = 0, journal.ErrTimeout
			default:
				coded(409)(s)
			}
		}, nil, Held, ""},
		{
			"never accepted", 200, func(s *journal.Submission) { coded(400)(s) }, func(string) int { return 0 }, Unknown,
			"1800 of 1800 submissions were not answered in a way that says anything (1800 × 400)",
		},
		{"raced alone", 200, func() func(*journal.Submission) {
			n := 0
			return func(s *journal.Submission) {
				if s.Form == journal.SubmittedAtOnce && s.Key < "r12" {
					if n++; n%5 != 0 {
						coded(503)(s)
					}
				}
			}
		}(), nil, Unknown, "keys were submitted several times at once"},
		{"not stored", 200, nil, func(key string) int { return one(key != "r7") }, Violated, "is stored; 1 key is not"},
		{"few keys", 100, nil, nil, Unknown, "only 200 keys"},
		{
			"never another body", 200, every(1, journal.SubmittedOther, coded(503)), nil, Unknown,
			"only 0 keys were sent with another body",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &DuplicateSubmits{MinKeys: 190}
			if tt.name == "few keys" {
				d.MinKeys = 201
			}
			expect(t, d.Detect(resubmitted(tt.n, tt.edit, tt.stored)), tt.want, tt.says)
		})
	}
}

// Without the stored rows nobody knows whether a key is stored twice.
func TestDuplicateSubmitsNeedsTheStoredRows(t *testing.T) {
	m := fixture()
	for e := range resubmitted(200, nil, nil).Entries() {
		if e.Body.Kind() != (journal.Ledger{}).Kind() {
			m.Record(e)
		}
	}
	expect(t, (&DuplicateSubmits{}).Detect(m), Unknown, "give the traffic a ledger")
}

// What is asked for one by one, by the ids of answers, is not known of a write
// whose answer has none.
func TestDuplicateSubmitsAsksForKeys(t *testing.T) {
	m := fixture()
	for e := range resubmitted(200, nil, func(key string) int { return one(key != "r7") }).Entries() {
		if l, ok := e.Body.(journal.Ledger); ok {
			l.Asked = true
			e.Body = l
		}
		m.Record(e)
	}
	expect(t, (&DuplicateSubmits{}).Detect(m), Unknown, "without an id in the answer to ask by")
}

func TestDuplicateSubmitsOfOneReplica(t *testing.T) {
	expect(t, (&DuplicateSubmits{}).Detect(resubmitted(200, nil, nil)), Held, "all was submitted to one replica")
	both := every(2, journal.SubmittedAtOnce, func(s *journal.Submission) { s.Replica = "orders-2" })
	if f := (&DuplicateSubmits{}).Detect(resubmitted(200, both, nil)); f.Outcome != Held || f.Remark != "" {
		t.Errorf("finding is %s: %s (remark: %s)", f.Outcome, f.Reason, f.Remark)
	}
}

func TestDuplicateSubmitsShowsWhere(t *testing.T) {
	f := (&DuplicateSubmits{}).Detect(resubmitted(200, nil, twiceStored))
	if len(f.Evidence) != 1 || f.Evidence[0].On != "r1-submissions-67" {
		t.Errorf("evidence is %+v", f.Evidence)
	}
}
