package wiretap

import (
	"bytes"
	"errors"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/seatrial/seatrial/experiments/journal"
)

// What is sent in place of a statement that is to fail: the server then fails
// it, and is in the state that an error leaves.
const (
	failingQuery  = "seatrial: this stands for a statement that is to fail"
	missingPortal = "seatrial: this stands for a statement that is to fail"
)

// unknown is a prepared statement that nobody has seen prepared.
var unknown prepared

// maxNames bounds how many prepared statements and portals of a connection are
// remembered; the texts of others are unknown.
const maxNames = 10000

// relayUp relays from the client to the server until the client ends.
func (c *conn) relayUp() error {
	for {
		if c.blind.Load() {
			return c.up.rest(c.server)
		}
		kind, body, err := c.up.next()
		if errors.Is(err, errNoFrame) {
			return c.up.rest(c.server)
		}
		if err != nil {
			return errors.Join(err, c.up.rest(c.server)) // a part of a message is passed on as well
		}
		if err := c.ask(kind, body); err != nil {
			return err
		}
	}
}

func (c *conn) push(o *op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked.push(o)
}

// ask takes note of one message and relays it.
func (c *conn) ask(kind byte, body []byte) error {
	copying := c.copying
	c.copying = false
	switch kind {
	case 'Q':
		return c.askQuery(body)
	case 'P':
		c.push(c.parse(body))
	case 'B':
		c.push(c.bind(body))
	case 'E':
		return c.askExecute(body)
	case 'S':
		return c.askSync()
	case 'D', 'C', 'F':
		c.push(&op{kind: kind})
	case 'd', 'c', 'f':
		if !copying || kind != 'd' {
			c.push(&op{kind: opCopyData})
		}
		c.copying = kind == 'd'
	}
	return c.up.pass()
}

// newOp is something asked that is recorded, in the transaction's present state.
func (c *conn) newOp(kind byte, stage string, p *prepared) *op {
	made := &struct {
		op  op
		own statement
	}{
		op:  op{kind: kind, at: c.tap.config.Now()},
		own: statement{stage: stage, text: p.text, verb: p.verb},
	}
	made.op.statement = &made.own
	c.mu.Lock()
	defer c.mu.Unlock()
	made.own.tx = c.tx
	return &made.op
}

// advance notes where a statement leads, so that what is pipelined behind it is
// known to be in a transaction.
func (c *conn) advance(s *statement) {
	next := s.leads()
	c.mu.Lock()
	c.tx = next
	c.mu.Unlock()
	if next != 'T' || s.tx != 'T' {
		clear(c.noted)
	}
}

func (c *conn) askQuery(body []byte) error {
	o := c.newOp(opQuery, journal.StageQuery, c.texts.of(cstring(body)))
	s := o.statement
	if c.tap.canary.in(body) {
		s.canary = journal.CanaryText
	}
	o.rule, o.key = c.choose(s)
	if o.rule == nil || o.rule.SQLState == "" {
		c.advance(s)
		c.push(o)
		return c.up.pass()
	}
	o.swaps = true
	commit := s.commits() && !o.rule.Fatal
	o.dropReady = commit
	c.push(o)
	if err := c.put(&pgproto3.Query{String: failingQuery}); err != nil {
		return err
	}
	if commit {
		if err := c.undo(); err != nil {
			return err
		}
	}
	return c.up.drop()
}

// undo rolls back a transaction whose COMMIT has failed.
func (c *conn) undo() error {
	c.push(&op{kind: opQuery, silent: true})
	c.mu.Lock()
	c.tx = 'I'
	c.mu.Unlock()
	clear(c.noted)
	return c.put(&pgproto3.Query{String: "ROLLBACK"})
}

func (c *conn) put(m pgproto3.FrontendMessage) error {
	b, err := m.Encode(nil)
	if err != nil {
		return err
	}
	return c.up.put(b)
}

func (c *conn) parse(body []byte) *op {
	name, rest, _ := bytes.Cut(body, []byte{0})
	text := cstring(rest)
	p := c.texts.of(text)
	if len(c.prepared) >= maxNames {
		clear(c.prepared)
	}
	c.prepared[string(name)] = p
	o := c.newOp(opParse, journal.StageParse, p)
	if c.tap.canary.in(text) {
		o.statement.canary = journal.CanaryText
	}
	return o
}

func (c *conn) bind(body []byte) *op {
	name, rest, _ := bytes.Cut(body, []byte{0})
	source, rest, _ := bytes.Cut(rest, []byte{0})
	p := portal{prepared: c.prepared[string(source)], canary: c.tap.canary.in(rest)}
	if p.prepared == nil {
		p.prepared = &unknown
	}
	if c.tap.pick(func(r *rule) bool { return r.PerParameter > 0 }) != nil {
		var m pgproto3.Bind
		if m.Decode(body) == nil {
			for _, v := range m.Parameters {
				p.parameters = append(p.parameters, bytes.Clone(v))
			}
		}
	}
	if len(c.portals) >= maxNames {
		clear(c.portals)
	}
	c.portals[string(name)] = p
	o := c.newOp(opBind, journal.StageBind, p.prepared)
	if p.canary {
		o.statement.canary = journal.CanaryBind
	}
	return o
}

func (c *conn) askExecute(body []byte) error {
	p := c.portals[string(cstring(body))]
	if p.prepared == nil {
		p.prepared = &unknown
	}
	o := c.newOp(opExecute, journal.StageExecute, p.prepared)
	s := o.statement
	s.parameters = p.parameters
	if p.canary {
		s.canary = journal.CanaryBind
	}
	o.rule, o.key = c.choose(s)
	if o.rule == nil || o.rule.SQLState == "" {
		c.advance(s)
		c.push(o)
		return c.up.pass()
	}
	o.swaps = true
	c.rollback, c.failing = s.commits() && !o.rule.Fatal, true
	c.push(o)
	if err := c.put(&pgproto3.Execute{Portal: missingPortal}); err != nil {
		return err
	}
	return c.up.drop()
}

func (c *conn) askSync() error {
	undo := c.rollback
	c.rollback, c.failing = false, false
	c.push(&op{kind: opSync, dropReady: undo})
	if err := c.up.pass(); err != nil || !undo {
		return err
	}
	return c.undo()
}

// cstring is what comes before a zero byte; everything where there is none.
func cstring(b []byte) []byte {
	s, _, _ := bytes.Cut(b, []byte{0})
	return s
}
