package wiretap

import (
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// prepared is a prepared statement.
type prepared struct {
	text, verb string
}

// portal is a prepared statement with its parameters.
type portal struct {
	*prepared
	parameters [][]byte // only where a rule counts by them
	canary     bool
}

// statement is something asked of the server, and what became of it.
type statement struct {
	stage      string
	text, verb string
	tx         byte // before it
	app        string
	parameters [][]byte
	canary     string

	tag, state string
	rows       int
	took, held time.Duration
	unfinished bool
	fault      string
	done       string
}

// controls reports whether it begins or ends a transaction or a part of one.
func (s *statement) controls() bool {
	switch s.verb {
	case "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE":
		return true
	}
	return false
}

// changes reports whether it looks as if it stored something.
func (s *statement) changes() bool {
	switch s.verb {
	case "INSERT", "UPDATE", "DELETE", "MERGE", "WITH":
		return true
	}
	return false
}

func (s *statement) commits() bool { return s.verb == "COMMIT" || s.verb == "END" }

// leads is the transaction's state after it, if it succeeds.
func (s *statement) leads() byte {
	switch s.verb {
	case "BEGIN", "START":
		return 'T'
	case "COMMIT", "END", "ABORT":
		return 'I'
	case "ROLLBACK":
		if !strings.Contains(strings.ToUpper(s.text), " TO ") {
			return 'I'
		}
	}
	return s.tx
}

// entry is its record.
func (s *statement) entry(conn uint64, pid int) journal.Statement {
	e := journal.Statement{
		Conn: conn, PID: pid, App: s.app, Stage: s.stage, Text: s.text, Tag: s.tag, Rows: s.rows,
		SQLState: s.state, Took: s.took, Unfinished: s.unfinished, Canary: s.canary,
		Fault: s.fault, Done: s.done, Held: s.held,
	}
	if s.tx != ' ' {
		e.Tx = string(rune(s.tx))
	}
	return e
}

// Kinds of what is asked: the letters of the messages, and two of our own.
const (
	opStartup  = '0'
	opCopyData = 'd' // the first of a row, or its end: only a mark in the queue
	opQuery    = 'Q'
	opCall     = 'F'
	opParse    = 'P'
	opBind     = 'B'
	opDescribe = 'D'
	opExecute  = 'E'
	opClose    = 'C'
	opSync     = 'S'
)

// op is one message to the server that has an answer.
type op struct {
	kind      byte
	at        journal.Instant
	statement *statement // nil: not recorded
	rule      *rule      // what shapes its answer
	key       uint64     // what the rule counts it by
	swaps     bool       // its error is put in place of the server's
	dropReady bool       // its ReadyForQuery is not passed on
	silent    bool       // it is ours: only its ReadyForQuery is passed on
	copyIn    bool
}

// executes reports whether a statement runs in it, or a connection is opened.
func (o *op) executes() bool { return o.kind == opQuery || o.kind == opExecute || o.kind == opStartup }

// extended reports whether an error of it has the server skip to the next Sync.
func (o *op) extended() bool {
	switch o.kind {
	case opParse, opBind, opDescribe, opExecute, opClose:
		return true
	}
	return false
}

// queue is what has been asked and not yet answered.
type queue struct {
	ops  []*op
	from int
	// skipping: after an error the server passes everything over until a Sync.
	skipping bool
}

func (q *queue) push(o *op) { q.ops = append(q.ops, o) }

func (q *queue) all() []*op { return q.ops[q.from:] }

// head is what the server answers now; nil: nothing.
func (q *queue) head() *op {
	q.trim()
	if q.from == len(q.ops) {
		return nil
	}
	return q.ops[q.from]
}

// trim drops marks, which have no answer.
func (q *queue) trim() {
	for q.from < len(q.ops) && q.ops[q.from].kind == opCopyData {
		q.pop()
	}
}

func (q *queue) pop() {
	q.ops[q.from] = nil
	q.from++
	if q.from == len(q.ops) {
		q.ops, q.from = q.ops[:0], 0
	}
}

// ready takes everything up to what the ReadyForQuery is for, and returns that;
// nil: there is nothing that it could be for.
func (q *queue) ready() *op {
	for {
		o := q.head()
		if o == nil {
			return nil
		}
		switch {
		case o.kind == opSync, !q.skipping && (o.kind == opQuery || o.kind == opCall || o.kind == opStartup):
			q.pop()
			q.skipping = false
			return o
		case !q.skipping:
			return nil
		}
		q.pop()
	}
}

// copied drops what the server read while it took in the data of a COPY: Syncs
// that came before them.
func (q *queue) copied() {
	for q.from < len(q.ops) && q.ops[q.from].kind == opSync {
		marked := false
		for _, o := range q.all() {
			marked = marked || o.kind == opCopyData
		}
		if !marked {
			return
		}
		q.pop()
	}
}
