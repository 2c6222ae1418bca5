package wiretap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/seatrial/seatrial/experiments/journal"
)

// maxHeld bounds what is held back of an answer; a longer one is let go.
const maxHeld = 64 << 10

// action is what is done with one message from the server.
type action struct {
	drop bool
	swap []byte // in place of it
	hold bool   // kept back for now
	let  bool   // what was kept back goes first
	wait *op    // its rule says how long, before this is passed on
	cut  bool   // the connection, after what goes through has been sent
	// after is the transaction's state, for the records that wait.
	after string
}

// plain reports whether the message just passes.
func (a action) plain() bool {
	return !a.drop && !a.hold && !a.let && !a.cut && a.swap == nil && a.wait == nil
}

// relayDown relays from the server to the client until one of them ends.
func (c *conn) relayDown() error {
	for {
		if c.blind.Load() {
			return c.restDown()
		}
		kind, body, err := c.down.next()
		if errors.Is(err, errNoFrame) {
			return c.restDown()
		}
		if err != nil {
			return errors.Join(err, c.restDown()) // a part of a message is passed on as well
		}
		if over, err := c.relayAnswer(kind, body); over || err != nil {
			return err
		}
	}
}

// relayAnswer does with the present message what is to be done with it; true
// when that ends the connection.
func (c *conn) relayAnswer(kind byte, body []byte) (bool, error) {
	if kind == 'D' && c.passRows() {
		return false, c.down.pass()
	}
	c.mu.Lock()
	a, err := c.answered(kind, body)
	if c.holding && a.plain() {
		a = c.keepBack() // so that the order stays
	}
	c.mu.Unlock()
	if err == nil {
		err = c.do(a)
	}
	return a.cut, err
}

// passRows takes all rows that are in the buffer for one message where nothing
// but their number counts.
func (c *conn) passRows() bool {
	n, length := c.down.alike()
	if n < 2 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.asked.head()
	if c.blind.Load() || c.holding || o == nil || o.silent || o.kind != opQuery && o.kind != opExecute ||
		o.rule != nil && (o.rule.CutRows > 0 || o.rule.CutCommit) {
		return false
	}
	o.statement.rows += n
	c.down.left = int64(length)
	return true
}

// restDown lets go what is held and relays what else comes, without a look.
func (c *conn) restDown() error {
	if err := c.down.put(c.held); err != nil {
		return err
	}
	return c.down.rest(c.client)
}

func (c *conn) do(a action) error {
	if a.let {
		if err := c.down.put(c.held); err != nil {
			return err
		}
		c.held = nil
	}
	if a.wait != nil {
		if err := c.down.w.Flush(); err != nil {
			return err
		}
		c.wait(a.wait)
		c.mu.Lock()
		c.flush(a.after)
		c.mu.Unlock()
	}
	switch {
	case a.hold:
		whole, err := c.down.r.Peek(int(c.down.left))
		if err != nil {
			return err
		}
		c.held = append(c.held, whole...)
		return c.down.drop()
	case a.drop:
		return c.down.drop()
	case a.swap != nil:
		if err := c.down.put(a.swap); err != nil {
			return err
		}
		if err := c.down.drop(); err != nil {
			return err
		}
	default:
		if err := c.down.pass(); err != nil {
			return err
		}
	}
	if a.cut {
		return c.down.w.Flush()
	}
	return nil
}

// answered says what is done with a message, and takes note of it.
func (c *conn) answered(kind byte, body []byte) (action, error) {
	if c.blind.Load() {
		return action{}, nil
	}
	o := c.asked.head()
	switch kind {
	case 'K':
		if len(body) >= 4 {
			c.pid = int(binary.BigEndian.Uint32(body))
		}
	case '1', '2', '3', 'n', 'T':
		c.confirmed(kind, o)
	case 'G':
		if o != nil {
			o.copyIn = true
		}
	case 'N':
		return action{drop: o != nil && o.silent}, nil
	case 'D':
		return c.row(o), nil
	case 'C', 'I', 's':
		return c.completed(kind, body, o), nil
	case 'E':
		return c.failed(body, o)
	case 'Z':
		return c.ready(body), nil
	}
	return action{}, nil
}

// confirms are the answers to messages that run nothing.
var confirms = map[byte]byte{'1': opParse, '2': opBind, '3': opClose, 'n': opDescribe, 'T': opDescribe}

func (c *conn) confirmed(kind byte, o *op) {
	if o != nil && kind == 'T' && o.executes() {
		return // of a Query
	}
	if o == nil || o.kind != confirms[kind] {
		c.lose(kind)
		return
	}
	if o.kind == opParse {
		c.finish(o)
	}
	c.asked.pop()
}

func (c *conn) row(o *op) action {
	if o == nil || o.kind != opQuery && o.kind != opExecute {
		c.lose('D')
		return action{}
	}
	if o.silent {
		return action{drop: true}
	}
	o.statement.rows++
	if r := o.rule; r != nil && r.CutRows > 0 && o.statement.rows == r.CutRows && r.spend(o.key) {
		o.statement.fault, o.statement.done = r.Fault, journal.DoneCut
		return action{cut: true}
	}
	c.mayHold(o)
	return action{}
}

// mayHold begins to hold an answer back that may have to be cut off.
func (c *conn) mayHold(o *op) {
	if o.rule != nil && o.rule.CutCommit {
		c.holding = true
	}
}

// keepBack holds a message as long as what is held is short. What is longer is
// let go, and not cut off any more.
func (c *conn) keepBack() action {
	if int64(len(c.held))+c.down.left <= maxHeld {
		return action{hold: true}
	}
	c.holding, c.late = false, nil
	for _, o := range c.asked.all() {
		if o.rule != nil && o.rule.CutCommit {
			o.rule = nil
		}
	}
	return action{let: true}
}

func (c *conn) completed(kind byte, body []byte, o *op) action {
	if o == nil || o.kind != opQuery && o.kind != opExecute {
		c.lose(kind)
		return action{}
	}
	if o.silent {
		return action{drop: true}
	}
	s := o.statement
	if kind == 'C' {
		s.tag = string(cstring(body[:min(len(body), 64)]))
	}
	c.wrote = c.wrote || stores(s.tag)
	c.mayHold(o)
	if o.kind != opExecute {
		return action{}
	}
	c.finish(o)
	c.asked.pop()
	if o.copyIn {
		c.asked.copied()
	}
	c.shape(o)
	if c.holding && c.late == nil { // it has stored nothing
		c.holding = false
		return action{let: true}
	}
	return action{}
}

// shape decides what the ReadyForQuery after a statement brings.
func (c *conn) shape(o *op) {
	r := o.rule
	if r == nil || c.late != nil {
		return
	}
	if r.Hold > 0 || r.CutCommit && c.commits(o.statement) {
		c.late = o
	}
}

// commits reports whether a statement's success means that something is stored
// for good once the server is ready.
func (c *conn) commits(s *statement) bool {
	if s.commits() {
		return s.tag == "COMMIT" && c.wrote
	}
	return s.tx == 'I' && stores(s.tag)
}

// stores reports whether a CommandComplete's tag says that rows were changed.
func stores(tag string) bool {
	fields := strings.Fields(tag)
	if len(fields) < 2 {
		return false
	}
	switch fields[0] {
	case "INSERT", "UPDATE", "DELETE", "MERGE", "COPY":
		return fields[len(fields)-1] != "0"
	}
	return false
}

func (c *conn) failed(body []byte, o *op) (action, error) {
	if o == nil {
		return action{}, nil // the server speaks by itself
	}
	if o.silent {
		return action{drop: true}, nil
	}
	a := action{let: c.holding}
	c.holding = false
	if s := o.statement; s != nil {
		s.state = sqlState(body)
		if o.swaps {
			var err error
			if a.swap, err = errorMessage(o.rule); err != nil {
				return a, err
			}
			s.state, s.fault, s.done = o.rule.SQLState, o.rule.Fault, journal.DoneError
			a.cut = o.rule.Fatal
		}
	}
	if o.extended() {
		c.finish(o)
		c.asked.pop()
		c.asked.skipping = true
		if o.copyIn {
			c.asked.copied()
		}
	}
	return a, nil
}

// sqlState is the code of an ErrorResponse.
func sqlState(body []byte) string {
	var m pgproto3.ErrorResponse
	if m.Decode(body) != nil || len(m.Code) > 5 {
		return "?????"
	}
	return m.Code
}

// ready is the end of an answer.
func (c *conn) ready(body []byte) action {
	o := c.asked.ready()
	if o == nil || len(body) < 1 || bytes.IndexByte([]byte("ITE"), body[0]) < 0 {
		c.lose('Z')
		return action{let: true}
	}
	if o.statement != nil {
		c.finish(o)
		if !o.dropReady && o.statement.state == "" {
			c.shape(o)
		}
	}
	a := action{drop: o.dropReady, let: c.holding}
	a = c.afterwards(a, body[0])
	c.holding = false
	if body[0] != 'T' {
		c.wrote = false
	}
	if c.asked.head() == nil {
		c.tx = body[0]
	}
	if a.after = string(rune(body[0])); a.wait == nil {
		c.flush(a.after)
	}
	return a
}

// afterwards does what was asked for the time after a statement.
func (c *conn) afterwards(a action, tx byte) action {
	o := c.late
	if o == nil {
		return a
	}
	c.late = nil
	r, s := o.rule, o.statement
	switch {
	case r.CutCommit && tx == 'I' && r.spend(o.key):
		s.fault, s.done = r.Fault, journal.DoneCut
		return action{drop: true, cut: true}
	case r.Hold > 0 && r.spend(o.key):
		s.fault, s.done = r.Fault, journal.DoneHeld
		a.wait = o
	}
	return a
}
