package wiretap

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// side is one end of a connection: what it says is read from in, what it is told
// is kept in out.
type side struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *side) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *side) Write(b []byte) (int, error) { return s.out.Write(b) }
func (s *side) Close() error                { return nil }

// exchange relays what a client and a server say, the client first.
func exchange(client, server []byte, rules ...faults.Interference) (toServer, toClient []byte, err error) {
	t := &Tap{canary: newCanary(testCanary), config: Config{
		Now: func() journal.Instant { return 1 }, Record: func(journal.Entry) {},
	}}
	t.rules.Store(new([]*rule))
	for _, i := range rules {
		if err := t.Interfere(i.Fault, i); err != nil {
			return nil, nil, err
		}
	}
	a, b := &side{in: bytes.NewReader(client)}, &side{in: bytes.NewReader(server)}
	o := &opening{
		tap:     t,
		client:  a,
		server:  b,
		in:      bufio.NewReader(a),
		startup: statement{stage: journal.StageStartup, tx: ' '},
	}
	c := newConn(t, o)
	_ = c.relayUp()
	c.leave() // the client has gone: nothing is held for long
	_ = c.relayDown()
	c.close()
	return b.out.Bytes(), a.out.Bytes(), nil
}

func encode[M interface {
	Encode([]byte) ([]byte, error)
}](messages ...M,
) []byte {
	var b []byte
	for _, m := range messages {
		b, _ = m.Encode(b)
	}
	return b
}

var clientTalk = encode[pgproto3.FrontendMessage](
	&pgproto3.Query{String: "BEGIN"},
	&pgproto3.Parse{Name: "s", Query: "INSERT INTO t VALUES ($1, '" + testCanary + "')"},
	&pgproto3.Describe{ObjectType: 'S', Name: "s"},
	&pgproto3.Sync{},
	&pgproto3.Bind{PreparedStatement: "s", Parameters: [][]byte{[]byte("one"), nil}},
	&pgproto3.Execute{},
	&pgproto3.Sync{},
	&pgproto3.Query{String: "COPY t FROM STDIN"},
	&pgproto3.CopyData{Data: []byte("1\n")},
	&pgproto3.CopyDone{},
	&pgproto3.Query{String: "COMMIT"},
	&pgproto3.Terminate{},
)

var serverTalk = encode[pgproto3.BackendMessage](
	&pgproto3.AuthenticationOk{},
	&pgproto3.BackendKeyData{ProcessID: 7, SecretKey: []byte{1, 2, 3, 4}},
	&pgproto3.ReadyForQuery{TxStatus: 'I'},
	&pgproto3.CommandComplete{CommandTag: []byte("BEGIN")},
	&pgproto3.ReadyForQuery{TxStatus: 'T'},
	&pgproto3.ParseComplete{},
	&pgproto3.ParameterDescription{ParameterOIDs: []uint32{25}},
	&pgproto3.NoData{},
	&pgproto3.ReadyForQuery{TxStatus: 'T'},
	&pgproto3.BindComplete{},
	&pgproto3.DataRow{Values: [][]byte{[]byte("1")}},
	&pgproto3.DataRow{Values: [][]byte{[]byte("22")}},
	&pgproto3.DataRow{},
	&pgproto3.CommandComplete{CommandTag: []byte("INSERT 0 1")},
	&pgproto3.ReadyForQuery{TxStatus: 'T'},
	&pgproto3.CopyInResponse{},
	&pgproto3.CommandComplete{CommandTag: []byte("COPY 1")},
	&pgproto3.ReadyForQuery{TxStatus: 'T'},
	&pgproto3.NotificationResponse{Channel: "news"},
	&pgproto3.ErrorResponse{Severity: "ERROR", Code: "40001", Message: "again"},
	&pgproto3.ReadyForQuery{TxStatus: 'I'},
)

// FuzzRelay: whatever two sides say, each hears the other's bytes as they were.
func FuzzRelay(f *testing.F) {
	f.Add(clientTalk, serverTalk)
	f.Add(serverTalk, clientTalk)
	f.Add(clientTalk[:len(clientTalk)-3], serverTalk[:40])
	f.Add([]byte{'Q', 0, 0, 0, 3}, []byte{'Z', 0xff, 0xff, 0xff, 0xff, 'I'})
	f.Add([]byte("E\x00\x00\x00\x05\x00"), []byte("C\x00\x00\x00\x04"))
	f.Fuzz(func(t *testing.T, client, server []byte) {
		up, down, err := exchange(client, server)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(up, client) {
			t.Errorf("the server heard %q, not %q", up, client)
		}
		if !bytes.Equal(down, server) {
			t.Errorf("the client heard %q, not %q", down, server)
		}
	})
}

// FuzzInterference: with every interference in force nothing breaks, and what
// the server hears are whole messages.
func FuzzInterference(f *testing.F) {
	f.Add(clientTalk, serverTalk, byte(0))
	f.Add(clientTalk, serverTalk, byte(1))
	f.Add(clientTalk, serverTalk, byte(2))
	f.Add(clientTalk, serverTalk, byte(3))
	f.Add(clientTalk, serverTalk, byte(4))
	f.Fuzz(func(t *testing.T, client, server []byte, which byte) {
		i := []faults.Interference{
			{Fault: "a", SQLState: "40001", Statements: faults.Statements{Match: "insert", FirstN: 1, PerParameter: 1}},
			{Fault: "b", SQLState: "40001", At: faults.AtCommit},
			{Fault: "c", CutRows: 1},
			{Fault: "d", CutCommit: true},
			{Fault: "e", Hold: time.Nanosecond},
			{Fault: "f", SQLState: "57P01", Fatal: true},
		}[int(which)%6]
		if _, _, err := exchange(client, server, i); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{
		"SELECT 'a''b', E'\\'', $1, $$x$$, $t$y$t$ -- c", "/* /* */ */ 1.5e-3", "'", "\"", "$", "$a$", "E'",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sql []byte) {
		if n := new(texts).of(sql).text; len(n) > maxText || !utf8.ValidString(n) {
			t.Errorf("%q became %q", sql, n)
		}
	})
}

func TestNormalise(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"SELECT  *\n FROM t -- why\nWHERE a = 'x''y' AND b=$1", "SELECT * FROM t WHERE a = ? AND b=$1"},
		{"INSERT INTO t1 VALUES (12, -1.5e-3, 0x1F, .5)", "INSERT INTO t1 VALUES (?, -?, ?, ?)"},
		{
			`SELECT E'it\'s', b'01', "quoted 'name'" /* a /* b */ */ , $$text$$, $x$ $y$ $x$`,
			`SELECT ?, ?, "quoted 'name'" , ?, ?`,
		},
		{"SELECT name_1 FROM t WHERE id IN ('a','b') ORDER BY 2 ", "SELECT name_1 FROM t WHERE id IN (?,?) ORDER BY ?"},
		{"SELECT 'never closed", "SELECT ?"},
		{strings.Repeat("ä", 1000), strings.Repeat("ä", 500)},
	} {
		if got := new(texts).of([]byte(tt.in)).text; got != tt.want {
			t.Errorf("%q became %q, not %q", tt.in, got, tt.want)
		}
	}
}

func TestInjectedErrorKeepsTheOrder(t *testing.T) {
	answer := encode[pgproto3.BackendMessage](
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
		&pgproto3.CommandComplete{CommandTag: []byte("BEGIN")}, &pgproto3.ReadyForQuery{TxStatus: 'T'},
		&pgproto3.ErrorResponse{Severity: "ERROR", Code: "42601", Message: "syntax"}, &pgproto3.ReadyForQuery{TxStatus: 'E'},
		&pgproto3.CommandComplete{CommandTag: []byte("ROLLBACK")}, &pgproto3.ReadyForQuery{TxStatus: 'I'},
		&pgproto3.CommandComplete{CommandTag: []byte("SELECT 0")}, &pgproto3.ReadyForQuery{TxStatus: 'I'},
	)
	ask := encode[pgproto3.FrontendMessage](
		&pgproto3.Query{String: "BEGIN"}, &pgproto3.Query{String: "COMMIT"}, &pgproto3.Query{String: "SELECT"},
	)
	i := faults.Interference{Fault: "x", At: faults.AtCommit, SQLState: "40001", Message: "again"}
	up, down, err := exchange(ask, answer, i)
	if err != nil {
		t.Fatal(err)
	}
	wantUp := encode[pgproto3.FrontendMessage](
		&pgproto3.Query{String: "BEGIN"}, &pgproto3.Query{String: failingQuery}, &pgproto3.Query{String: "ROLLBACK"},
		&pgproto3.Query{String: "SELECT"},
	)
	if !bytes.Equal(up, wantUp) {
		t.Errorf("the server heard %q", up)
	}
	refusal, _ := errorMessage(&rule{Interference: i})
	wantDown := append(encode[pgproto3.BackendMessage](
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
		&pgproto3.CommandComplete{CommandTag: []byte("BEGIN")}, &pgproto3.ReadyForQuery{TxStatus: 'T'},
	), refusal...)
	wantDown = append(wantDown, encode[pgproto3.BackendMessage](
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
		&pgproto3.CommandComplete{CommandTag: []byte("SELECT 0")}, &pgproto3.ReadyForQuery{TxStatus: 'I'},
	)...)
	if !bytes.Equal(down, wantDown) {
		t.Errorf("the client heard %q, not %q", down, wantDown)
	}
}
