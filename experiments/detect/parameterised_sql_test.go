package detect

import (
	"fmt"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// payloadForms are the forms of a planted value, in the order of their sending.
var payloadForms = []string{
	journal.PlantedControl, journal.PlantedCanary, journal.PlantedQuote, journal.PlantedOr, journal.PlantedSleep,
	journal.PlantedCondition, journal.PlantedExpression,
}

// plantEdit changes a request and the statement that it led to, and says how much
// longer the answer takes.
type plantEdit func(*journal.Planted, *journal.Statement) time.Duration

// planting is a journal in which every form was planted in two fields of a
// write; edit changes a request and the statement that stored what it brought.
// The statement is a prepared one with the value as a parameter, and of a second
// field that never comes to the database there is none.
func planting(edit plantEdit) journal.Journal {
	m := fixture()
	at, seq := journal.Instant(0), uint64(0)
	for _, field := range []string{"body $.customer", "query sort"} {
		for _, form := range payloadForms {
			for n := range 3 {
				if n > 0 && form != journal.PlantedSleep {
					break
				}
				at, seq = at.Add(50*ms), seq+1
				p := journal.Planted{
					Attack: "payloads", Seq: seq, Route: "pay", Field: field, Form: form, Sent: at, Code: 201,
				}
				s := journal.Statement{
					Conn: 1, Stage: journal.StageExecute, Text: "INSERT INTO orders VALUES ($1, ?)", Tx: "I",
					Tag: "INSERT 0 1", Took: 2 * ms,
				}
				if form != journal.PlantedControl {
					s.Canary = journal.CanaryBind
				}
				if field == "query sort" {
					s.Text, s.Canary = "SELECT id FROM orders ORDER BY total", ""
				}
				took := 10 * ms
				if edit != nil {
					took += edit(&p, &s)
				}
				m.Record(journal.Entry{At: at.Add(5 * ms), On: "db", Body: s})
				at = at.Add(took)
				m.Record(journal.Entry{At: at, On: "payloads", Body: p})
			}
		}
	}
	return m
}

// inText has the values of a field come in a statement's text, which payloads
// change.
func inText(field, stage string) plantEdit {
	return func(p *journal.Planted, s *journal.Statement) time.Duration {
		if p.Field == field && p.Form != journal.PlantedControl {
			s.Stage, s.Canary, s.Text = stage, journal.CanaryText, "INSERT INTO orders VALUES (?, ?)"
		}
		return 0
	}
}

// refusedSyntax is inText with payloads that the database refuses.
func refusedSyntax(field, stage string) plantEdit {
	return func(p *journal.Planted, s *journal.Statement) time.Duration {
		inText(field, stage)(p, s)
		if p.Field == field && p.Form == journal.PlantedQuote {
			s.Tag, s.SQLState, p.Code = "", "42601", 500
		}
		return 0
	}
}

func neverThere(_ *journal.Planted, s *journal.Statement) time.Duration {
	s.Canary = ""
	return 0
}

var (
	_ = madeUpAs("parameterised_sql/held-parameters", func() journal.Journal { return planting(nil) })
	_ = madeUpAs("parameterised_sql/held-simple-protocol", func() journal.Journal {
		return planting(inText("body $.customer", journal.StageQuery))
	})
	_ = madeUpAs("parameterised_sql/violated-value", func() journal.Journal {
		return planting(refusedSyntax("body $.customer", journal.StageParse))
	})
	_ = madeUpAs("parameterised_sql/violated-sort-column", func() journal.Journal {
		return planting(inText("query sort", journal.StageParse))
	})
	_ = madeUpAs("parameterised_sql/unknown-never-bound", func() journal.Journal { return planting(neverThere) })
)

func TestParameterisedSQL(t *testing.T) {
	const field = "body $.customer"
	only := func(form string, edit plantEdit) plantEdit {
		return func(p *journal.Planted, s *journal.Statement) time.Duration {
			inText(field, journal.StageQuery)(p, s)
			if p.Field == field && p.Form == form {
				return edit(p, s)
			}
			return 0
		}
	}
	longer := func(n uint64) plantEdit {
		count := uint64(0)
		return only(journal.PlantedSleep, func(*journal.Planted, *journal.Statement) time.Duration {
			if count++; count > n {
				return 0
			}
			return 2 * time.Second
		})
	}
	for name, c := range map[string]struct {
		edit   plantEdit
		want   Outcome
		reason string
	}{
		"parameters": {nil, Held, "of 2 values 1 came to the database as parameters"},
		"simple":     {inText(field, journal.StageQuery), Held, "no payload worked"},
		"prepared":   {inText(field, journal.StageParse), Violated, "body $.customer of pay; pass values as parameters"},
		"refused":    {refusedSyntax(field, journal.StageQuery), Violated, "refused the statement with 42601"},
		"changed": {only(journal.PlantedOr, func(_ *journal.Planted, s *journal.Statement) time.Duration {
			s.Text = "INSERT INTO orders VALUES (? OR ?=?, ?)"
			return 0
		}), Violated, "it changed the statement"},
		"more rows": {only(journal.PlantedOr, func(_ *journal.Planted, s *journal.Statement) time.Duration {
			s.Rows = 7
			return 0
		}), Violated, "7 rows, and 0 without the payload"},
		"broken off": {only(journal.PlantedOr, func(_ *journal.Planted, s *journal.Statement) time.Duration {
			s.Rows, s.Tag, s.Done = 1, "", journal.DoneCut
			return 0
		}), Held, "no payload worked"},
		"nothing to compare with": {func(p *journal.Planted, s *journal.Statement) time.Duration {
			inText(field, journal.StageQuery)(p, s)
			s.Rows = 1
			if p.Form == journal.PlantedCanary {
				s.Rows, s.Tag, s.SQLState = 0, "", "57014"
			}
			return 0
		}, Held, "no payload worked"},
		"late twice":  {longer(2), Held, "no payload worked"},
		"late thrice": {longer(3), Violated, "delayed the answer to 2"},
		"never there": {neverThere, Unknown, "0 came to the database, and 1 must"},
		"an error by something else": {func(p *journal.Planted, s *journal.Statement) time.Duration {
			if p.Form == journal.PlantedQuote {
				s.SQLState = "22P02"
			}
			return 0
		}, Held, "no payload worked"},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, (&ParameterisedSQL{MinFields: 1}).Detect(planting(c.edit)), c.want, c.reason)
		})
	}
	expect(t, (&ParameterisedSQL{}).Detect(fixture()), Unknown, "needs the operation plant_sql")
}

func TestParameterisedSQLSaysWhatNeverCame(t *testing.T) {
	f := (&ParameterisedSQL{}).Detect(planting(nil))
	if want := "these never came to the database: query sort of pay"; f.Remark != want {
		t.Errorf("remarked %q, want %q", f.Remark, want)
	}
	f = (&ParameterisedSQL{}).Detect(planting(refusedSyntax("body $.customer", journal.StageParse)))
	if len(f.Evidence) != 2 || f.Evidence[0].On != fmt.Sprint(journal.RequestID("r1", "payloads", 2)) {
		t.Errorf("the evidence is %v", f.Evidence)
	}
}
