package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ParameterisedSQL asks whether what callers send is ever a part of a
// statement's text (D44). The run's canary, in one value of a request after the
// other, must come to the database among the parameters alone; in the text of a
// prepared statement it is a violation. In a message of the simple protocol,
// which knows no parameters, it is a remark, as long as no payload works there.
// A payload works where the database answers with an SQLSTATE of class 42, where
// it changes the statement's text beside its literals or the rows of the answer,
// and where it delays the answer by 1.5 s three times of three.
//
// It needs a plant_sql step and reads what the wire tap records. A statement
// belongs to the request that was sent last before it, if it has the canary; one
// without belongs to it if its text was never seen beside payloads.
type ParameterisedSQL struct {
	// MinFields is how many values must have come to the database. Default 1.
	MinFields int `yaml:"min_fields" json:"min_fields,omitempty"`
}

var _ = register(Info{
	Kind: "parameterised_sql", ID: "D44", Checklist: []string{"4.1"}, Class: Safety, Statements: true,
	Summary: "what callers send is a parameter of statements, and never a part of their text",
}, func() Detector { return &ParameterisedSQL{MinFields: 1} })

// planted is a request with a planted value, and what the database was asked
// for it.
type planted struct {
	journal.Entry
	journal.Planted
	statements []tapped
}

// took is how long the answer took.
func (p planted) took() time.Duration { return p.At.Sub(p.Sent) }

// active reports whether the value would change a statement.
func (p planted) active() bool {
	return p.Form != journal.PlantedControl && p.Form != journal.PlantedCanary
}

// plantedField is all that was sent in one field of a request.
type plantedField struct {
	name     string
	sent     []planted
	control  *planted // nil: there is none with a good answer
	harmless []string // texts of the canary alone
}

// Detect judges the journal.
func (d *ParameterisedSQL) Detect(j journal.Journal) Finding {
	c := &plantCase{docket: open("parameterised_sql"), run: j.Header().Run}
	fields := c.fields(j)
	if len(fields) == 0 {
		return c.unknown("no value was planted; the experiment needs the operation plant_sql")
	}
	for _, f := range fields {
		c.field(f)
	}
	c.add(
		bounded("values_in_statements", float64(len(c.text)), "1", "<=", 0, len(fields)),
		bounded("values_whose_payload_worked", float64(len(c.worked)), "1", "<=", 0, len(fields)),
		measured("values_in_simple_queries", float64(len(c.simple)), "1", len(fields)),
		measured("values_as_parameters", float64(c.bound), "1", len(fields)),
	)
	c.verdict(max(1, d.MinFields))
	return c.close("promised: what callers send is never a part of a statement; seen: of %d values %d came to the "+
		"database as parameters and %d in simple queries, and no payload worked", len(fields), c.bound, len(c.simple))
}

// plantCase collects what the fields have to say.
type plantCase struct {
	*docket
	run    string
	known  map[string]bool // texts seen outside payloads
	text   []string        // fields in the text of prepared statements
	simple []string        // fields in simple queries
	worked []string        // fields of which a payload worked, and how
	hidden []string        // fields that never came to the database
	bound  int
}

// fields sorts requests by their fields, with the statements of each.
func (c *plantCase) fields(j journal.Journal) []*plantedField {
	var all []planted
	for e, p := range journal.Of[journal.Planted](j) {
		all = append(all, planted{Entry: e, Planted: p})
	}
	slices.SortFunc(all, func(a, b planted) int { return cmp.Compare(a.Sent, b.Sent) })
	c.known = map[string]bool{}
	for e, s := range journal.Of[journal.Statement](j) {
		at, found := slices.BinarySearchFunc(all, e.At.Add(tapSlack), func(p planted, t journal.Instant) int {
			return cmp.Compare(p.Sent, t)
		})
		if !found {
			at--
		}
		if at >= 0 {
			all[at].statements = append(all[at].statements, tapped{e, s})
		}
		if at < 0 || !all[at].active() {
			c.known[s.Text] = true
		}
	}
	var fields []*plantedField
	byName := map[string]*plantedField{}
	for _, p := range all {
		name := p.Field + " of " + p.Route
		f := byName[name]
		if f == nil {
			f = &plantedField{name: name}
			byName[name] = f
			fields = append(fields, f)
		}
		f.sent = append(f.sent, p)
	}
	return fields
}

// field judges one field.
func (c *plantCase) field(f *plantedField) {
	f.compared()
	var inText, inSimple, bound bool
	for _, p := range f.sent {
		for _, s := range p.statements {
			switch {
			case s.Canary == journal.CanaryText && s.Stage == journal.StageQuery:
				inSimple = true
			case s.Canary == journal.CanaryText:
				if !inText {
					c.show(p, "%s in the text of a prepared statement: %s", f.name, s.Text)
				}
				inText = true
			case s.Canary == journal.CanaryBind:
				bound = true
			}
		}
	}
	if inText {
		c.text = append(c.text, f.name)
	}
	if inSimple {
		c.simple = append(c.simple, f.name)
	}
	c.bound += one(bound && !inText && !inSimple)
	how := c.payloads(f)
	if how != "" {
		c.worked = append(c.worked, f.name+" ("+how+")")
	}
	switch {
	case f.control == nil:
		c.note("%s was never answered with success as it is, so its controls say nothing", f.name)
	case !inText && !inSimple && !bound && how == "":
		c.hidden = append(c.hidden, f.name)
	}
}

// compared finds what payloads are held against.
func (f *plantedField) compared() {
	for i := range f.sent {
		p := &f.sent[i]
		if p.Form == journal.PlantedControl && p.Err == "" && p.Code < 400 {
			f.control = p
		}
		if p.Form == journal.PlantedCanary {
			for _, s := range p.statements {
				f.harmless = append(f.harmless, s.Text)
			}
		}
	}
}

// payloads says how the first payload worked; empty: none did.
func (c *plantCase) payloads(f *plantedField) string {
	late := map[string]int{}
	for _, p := range f.sent {
		if !p.active() {
			continue
		}
		for _, s := range p.statements {
			if how := c.effect(f, s); how != "" {
				c.show(p, "%s: %s: %s", f.name, how, s.Text)
				return how
			}
		}
		if f.control != nil && p.took()-f.control.took() >= plantedDelay {
			late[p.Form]++
		}
		if late[p.Form] >= plantedTimes {
			c.show(p, "%s: its answer came after %v, and without the payload after %v", f.name, brief(p.took()),
				brief(f.control.took()))
			return fmt.Sprintf("it delayed the answer to %v", brief(p.took()))
		}
	}
	return ""
}

// plantedDelay is how much later an answer must come for a payload that sleeps
// for 2 s to have worked, in plantedTimes of as many.
const (
	plantedDelay = 1500 * time.Millisecond
	plantedTimes = 3
)

// effect says what a payload did to a statement; empty: nothing.
func (c *plantCase) effect(f *plantedField, s tapped) string {
	textual := s.Canary == journal.CanaryText || s.Canary == "" && !c.known[s.Text]
	switch {
	case !textual:
		return ""
	case strings.HasPrefix(s.SQLState, "42"):
		return "the database refused the statement with " + s.SQLState
	case s.Canary == journal.CanaryText && !slices.Contains(f.harmless, s.Text), strings.Contains(s.Text, "pg_sleep"):
		return "it changed the statement"
	case s.Canary == journal.CanaryText && s.Tag != "":
		if n, ended := f.rows(s.Text); ended && n != s.Rows {
			return say("the statement returned %d rows, and %d without the payload", s.Rows, n)
		}
	}
	return ""
}

// rows is how many rows a statement returned for the canary alone; it did not
// end with all of its rows where the database refused it, or something broke it off.
func (f *plantedField) rows(text string) (n int, ended bool) {
	for _, p := range f.sent {
		for _, s := range p.statements {
			if p.Form == journal.PlantedCanary && s.Text == text && s.Tag != "" {
				return s.Rows, true
			}
		}
	}
	return 0, false
}

func (c *plantCase) show(p planted, format string, args ...any) {
	c.point(Evidence{
		At: p.Sent, Kind: "request", On: journal.RequestID(c.run, p.Attack, p.Seq),
		Excerpt: p.Form + ": " + say(format, args...),
	})
}

// verdict weighs what was found.
func (c *plantCase) verdict(need int) {
	const promised = "promised: what callers send is never a part of a statement"
	if len(c.text) > 0 {
		c.against("%s; seen in the text of prepared statements: %s; pass values as parameters, and choose columns from a "+
			"list", promised, several(c.text))
	}
	if len(c.worked) > 0 {
		c.against("%s; seen: SQL in a value worked: %s", promised, several(c.worked))
	}
	if len(c.simple) > 0 {
		c.note("these came in the text of simple queries, where the driver must quote them: %s; let it use the extended "+
			"protocol", several(c.simple))
	}
	if len(c.hidden) > 0 {
		c.note("these never came to the database: %s", several(c.hidden))
	}
	if came := c.bound + len(c.simple) + len(c.text); came < need {
		c.doubt("of the values that were planted %d came to the database, and %d must; so nothing is known of its "+
			"statements", came, need)
	}
}
