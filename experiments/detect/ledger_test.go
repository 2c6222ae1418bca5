package detect

import (
	"cmp"
	"fmt"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// books is a journal of writes and what is stored of them.
type books struct {
	*journal.Memory
	n, rows  int
	oneByOne bool // read by the service's own route
}

func newBooks() *books { return &books{Memory: fixture()} }

// write records one write and how often it is stored.
func (b *books) write(outcome string, code, stored int) string {
	b.n++
	key := fmt.Sprintf("k%d", b.n)
	b.Record(journal.Entry{At: journal.Instant(b.n), On: "pay", Body: journal.Write{
		Attack: "load", Seq: uint64(b.n), Key: key, Outcome: outcome, Code: code,
	}})
	if stored > 0 {
		b.store(key, stored)
	}
	return key
}

func (b *books) store(key string, count int) {
	b.rows += count
	b.Record(journal.Entry{At: 20 * sec, On: "db", Body: journal.Stored{Key: key, Count: count}})
}

// acknowledged records a write with what its answer called it and what must be
// stored.
func (b *books) acknowledged(id, value string) {
	b.n++
	b.Record(journal.Entry{At: journal.Instant(b.n), On: "pay", Body: journal.Write{
		Attack: "load", Seq: uint64(b.n), Key: fmt.Sprintf("k%d", b.n), Outcome: journal.Acknowledged, Code: 201,
		ID: id, Value: value,
	}})
}

// is records what is stored of the last write.
func (b *books) is(s journal.Stored) {
	s.Key = fmt.Sprintf("k%d", b.n)
	b.rows += s.Count
	b.Record(journal.Entry{At: 20 * sec, On: "db", Body: s})
}

func (b *books) close() *books {
	b.Record(journal.Entry{At: 21 * sec, On: "db", Body: journal.Ledger{Rows: b.rows, Asked: b.oneByOne}})
	return b
}

func goodBooks() *books {
	b := newBooks()
	for range 10 {
		b.write(journal.Acknowledged, 201, 1)
	}
	b.write(journal.UnknownOutcome, 0, 1)
	b.write(journal.UnknownOutcome, 500, 0)
	b.write(journal.Refused, 503, 0)
	b.store("another's", 3)
	return b
}

func TestLedger(t *testing.T) {
	for _, tt := range []struct {
		name  string
		books func() *books
		want  Outcome
		says  string
	}{
		{
			"all there", func() *books { return goodBooks().close() }, Held,
			"of 10 acknowledged writes 0 are lost and 0 changed",
		},
		{"lost", func() *books {
			b := goodBooks()
			b.write(journal.Acknowledged, 201, 0)
			return b.close()
		}, Violated, "of 11 acknowledged writes 1 is lost and 0 changed"},
		{"doubled", func() *books {
			b := goodBooks()
			b.write(journal.Acknowledged, 201, 2)
			return b.close()
		}, Violated, "1 is stored more than once"},
		{"unknown and doubled", func() *books {
			b := goodBooks()
			b.write(journal.UnknownOutcome, 0, 2)
			return b.close()
		}, Violated, "1 is stored more than once"},
		{"doubled over two rows", func() *books {
			b := goodBooks()
			b.store(b.write(journal.UnknownOutcome, 0, 1), 1)
			return b.close()
		}, Violated, "1 is stored more than once"},
		{"refused but stored", func() *books {
			b := goodBooks()
			b.write(journal.Refused, 503, 1)
			return b.close()
		}, Held, "1 write that was refused is stored"},
		{"changed id", func() *books {
			b := goodBooks()
			b.acknowledged("id-1", "")
			b.is(journal.Stored{Count: 1, ID: "id-2"})
			return b.close()
		}, Violated, "0 are lost and 1 changed"},
		{"changed value", func() *books {
			b := goodBooks()
			b.acknowledged("id-1", "ten")
			b.is(journal.Stored{Count: 1, ID: "id-1", Value: "eleven"})
			return b.close()
		}, Violated, "0 are lost and 1 changed"},
		{"the same id and value", func() *books {
			b := goodBooks()
			b.acknowledged("id-1", "ten")
			b.is(journal.Stored{Count: 1, ID: "id-1", Value: "ten"})
			return b.close()
		}, Held, "0 are lost and 0 changed"},
		{"acknowledged under two ids", func() *books {
			b := goodBooks()
			b.acknowledged("id-1", "")
			b.n--
			b.acknowledged("id-2", "")
			b.is(journal.Stored{Count: 1, ID: "id-1"})
			return b.close()
		}, Violated, "0 are lost and 1 changed"},
		{"one by one", func() *books {
			b := newBooks()
			b.oneByOne = true
			b.write(journal.Acknowledged, 201, 1)
			b.write(journal.UnknownOutcome, 0, 0)
			return b.close()
		}, Held, "1 write that was not acknowledged has no id"},
		{"one by one, and absent", func() *books {
			b := newBooks()
			b.oneByOne = true
			b.acknowledged("id-1", "")
			b.is(journal.Stored{})
			return b.close()
		}, Violated, "1 is lost"},
		{"one by one, and not asked for", func() *books {
			b := newBooks()
			b.oneByOne = true
			b.write(journal.Acknowledged, 201, 0)
			return b.close()
		}, Unknown, "1 acknowledged write could not be asked for"},
		{"not read to the end", goodBooks, Unknown, "not read to the end"},
		{"reading failed", func() *books {
			b := goodBooks()
			b.Record(journal.Entry{At: 21 * sec, Body: journal.Ledger{Rows: b.rows, Err: "no such table"}})
			return b
		}, Unknown, "no such table"},
		{"listed more than read", func() *books {
			b := goodBooks()
			b.rows--
			return b.close()
		}, Unknown, "only 13 were read"},
		{"nothing acknowledged", func() *books {
			b := newBooks()
			b.write(journal.UnknownOutcome, 0, 1)
			return b.close()
		}, Unknown, "only 0 writes were acknowledged"},
		{"nothing written", func() *books { return newBooks().close() }, Unknown, "no write was followed"},
		{"nothing stored at all", func() *books {
			b := newBooks()
			b.write(journal.Acknowledged, 201, 0)
			return b.close()
		}, Violated, "of 1 acknowledged write 1 is lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, (&Ledger{}).Detect(tt.books()), tt.want, tt.says)
		})
	}
}

// A write that was tried again under the same key is one write: once
// acknowledged, it must be stored once.
func TestLedgerJoinsTries(t *testing.T) {
	b := newBooks()
	key := b.write(journal.UnknownOutcome, 0, 1)
	b.Record(journal.Entry{At: 5 * sec, On: "pay", Body: journal.Write{
		Attack: "load", Seq: 77, Key: key, Outcome: journal.Acknowledged, Code: 201,
	}})
	f := (&Ledger{}).Detect(b.close())
	expect(t, f, Held, "of 1 acknowledged")
	if got := value(t, f, "writes_unknown"); got != 0 {
		t.Errorf("%v writes are unknown", got)
	}
}

func TestLedgerListsEveryWrite(t *testing.T) {
	b := newBooks()
	for range 20 {
		b.write(journal.Acknowledged, 201, 0)
	}
	f := (&Ledger{}).Detect(b.close())
	if len(f.Evidence) != 20 || f.Evidence[0].On != "r1-load-1" || f.Evidence[19].On != "r1-load-20" {
		t.Errorf("evidence is %+v", f.Evidence)
	}
}

// crashed kills a replica while a write is under way, or is not.
func (b *books) crashed(replica string, at journal.Instant, edit func(r *journal.Request)) {
	b.write(journal.Acknowledged, 201, 1)
	r := journal.Request{
		Attack: "load", Seq: uint64(b.n), Route: "pay", Due: at.Add(-50 * ms), Sent: at.Add(-50 * ms),
		Done: at.Add(200 * ms), Code: 201, OK: true, Tries: 2,
	}
	if edit != nil {
		edit(&r)
	}
	b.Request(r)
	b.Record(journal.Entry{At: at, On: replica, Body: journal.Exited{Code: -1, Signal: "killed", Asked: "SIGKILL"}})
}

func TestLedgerCountsCrashes(t *testing.T) {
	for _, tt := range []struct {
		name, replica string
		edit          func(r *journal.Request)
		loses         bool
		want          Outcome
		says          string
	}{
		{name: "tried again", want: Held, says: "0 are lost"},
		{name: "never answered", edit: func(r *journal.Request) { r.Tries, r.Err = 1, journal.ErrEOF }, want: Held},
		{name: "replayed", edit: func(r *journal.Request) { r.Tries, r.Replays = 1, 1 }, want: Held},
		{
			name: "answered at the first try", edit: func(r *journal.Request) { r.Tries = 1 }, want: Unknown,
			says: "of 2 crashes 1 cut a write short, and 2 are needed",
		},
		{name: "over before", edit: func(r *journal.Request) { r.Done = r.Sent + 1 }, want: Unknown, says: "1 cut"},
		{name: "no write", edit: func(r *journal.Request) { r.Seq += 1000 }, want: Unknown, says: "1 cut"},
		{name: "not a replica's", replica: "db", want: Unknown, says: "of 1 crash 1 cut"},
		{
			name: "lost as well", edit: func(r *journal.Request) { r.Tries = 1 }, loses: true, want: Violated,
			says: "1 is lost",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := goodBooks()
			b.crashed("orders-1", 5*sec, nil)
			b.crashed(cmp.Or(tt.replica, "orders-1"), 7*sec, tt.edit)
			if tt.loses {
				b.write(journal.Acknowledged, 201, 0)
			}
			expect(t, (&Ledger{MinCrashes: 2}).Detect(b.close()), tt.want, tt.says)
		})
	}
}
