package journal

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// reflected is a statement without its own way to be written.
type reflected Statement

func sampleStatements() []Statement {
	return []Statement{
		{Conn: 1, Stage: StageStartup, App: "orders-1", Took: time.Millisecond},
		{
			Conn: 12, PID: 4711, Stage: StageExecute, Text: `SELECT "id" FROM t WHERE a < $1 AND b > $2 & $3 \ ?`,
			Tx: TxOpen, After: TxOpen, Tag: "SELECT 3", Rows: 3, Took: 1234567, Canary: CanaryBind,
		},
		{
			Conn: 3, Stage: StageQuery, Text: "größer\x7f\t", Tx: TxIdle, SQLState: "40001", Took: -1, Unfinished: true,
			Fault: "sql_error", Done: DoneHeld, Held: time.Hour,
		},
	}
}

func TestAStatementIsWrittenAsByReflection(t *testing.T) {
	for _, s := range sampleStatements() {
		want, err := json.Marshal(reflected(s))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.appendJSON(nil); string(got) != string(want) {
			t.Errorf("written is\n%s, not\n%s", got, want)
		}
		e := Entry{At: 7, On: "db", Body: s}
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back Entry
		if err := back.UnmarshalJSON(line); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, back); d != "" {
			t.Errorf("-written +read:\n%s", d)
		}
	}
}

// FuzzStatement: what is read without reflection is what reflection reads, and
// is written back so that it reads the same.
func FuzzStatement(f *testing.F) {
	for _, s := range sampleStatements() {
		f.Add(s.appendJSON(nil))
	}
	f.Add([]byte(`{"conn":01,"stage":"x","took":1}`))
	f.Add([]byte(`{"conn":-0,"pid":9223372036854775807,"stage":"\u003C","took":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var quick Statement
		if !quick.scanJSON(data) {
			return
		}
		var slow reflected
		if err := json.Unmarshal(data, &slow); err != nil {
			t.Fatalf("%s is no statement: %v", data, err)
		}
		if d := cmp.Diff(Statement(slow), quick); d != "" {
			t.Errorf("-by reflection +without:\n%s", d)
		}
		var again Statement
		if line := quick.appendJSON(nil); json.Unmarshal(line, (*reflected)(&again)) != nil || again != quick {
			t.Errorf("%+v was written as %s", quick, line)
		}
	})
}

func TestAnEntryOfAnotherFormIsRead(t *testing.T) {
	want := Entry{At: 5, On: "db", Body: Note{Text: "x"}}
	for _, line := range []string{
		`{"t":5,"kind":"note","on":"db","data":{"text":"x"}}`,
		`{"kind":"note", "t":5,"data":{"text":"x"},"on":"db"}`,
		`{"t":5,"kind":"note","on":"db","data":{"text":"x"},"later":{}}`,
	} {
		var got Entry
		if err := got.UnmarshalJSON([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", line, d)
		}
	}
	for _, line := range []string{
		`{"t":5,"kind":"note","data":}`, `{"t":5,"data":{}}`, `{"t":5,"kind":"note","data":{}`, ``,
	} {
		if err := new(Entry).UnmarshalJSON([]byte(line)); err == nil {
			t.Errorf("%q was read", line)
		}
	}
}

func BenchmarkStatement(b *testing.B) {
	e := Entry{At: 123456789, On: "db", Body: sampleStatements()[1]}
	var line []byte
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			line, _ = e.AppendJSON(line[:0])
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = e.UnmarshalJSON(line)
		}
	})
}
