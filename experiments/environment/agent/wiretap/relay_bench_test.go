package wiretap

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/seatrial/seatrial/experiments/environment/tcptest"
	"github.com/seatrial/seatrial/experiments/journal"
)

// BenchmarkRelay measures what an exchange of a query and its answer costs in
// processor time, of clients and a server that do nothing else: without a relay,
// through one that only copies, and through the tap.
func BenchmarkRelay(b *testing.B) {
	server := answering(b)
	for name, before := range map[string]func(*testing.B) string{
		"none": func(*testing.B) string { return server },
		"copy": func(b *testing.B) string { return copying(b, server) },
		"tap":  func(b *testing.B) string { return tapping(b, server) },
	} {
		for kind, ask := range exchanges {
			b.Run(name+"/"+kind, func(b *testing.B) { relayed(b, before(b), ask) })
		}
	}
}

var exchanges = map[string]func(int) []byte{
	"simple": func(i int) []byte {
		return encode[pgproto3.FrontendMessage](
			&pgproto3.Query{String: fmt.Sprintf("SELECT abalance FROM pgbench_accounts WHERE aid = %d;", i)})
	},
	"rows": func(int) []byte { return encode[pgproto3.FrontendMessage](&pgproto3.Query{String: "SELECT 1000 rows"}) },
	"extended": func(i int) []byte {
		return encode[pgproto3.FrontendMessage](
			&pgproto3.Bind{PreparedStatement: "s", Parameters: [][]byte{fmt.Append(nil, i)}},
			&pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Sync{})
	},
}

const benchClients = 4

// relayed asks the same through a few connections at once.
func relayed(b *testing.B, address string, ask func(int) []byte) {
	var clients []net.Conn
	for range benchClients {
		c, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		greeting, err := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30}).Encode(nil)
		if err == nil {
			_, err = c.Write(greeting)
		}
		if err != nil {
			b.Fatal(err)
		}
		clients = append(clients, c)
	}
	b.ReportAllocs()
	b.ResetTimer()
	began := processor()
	var all sync.WaitGroup
	for n, c := range clients {
		all.Go(func() {
			in := bufio.NewReader(c)
			for i := n; i < b.N; i += benchClients {
				if i == n {
					_ = untilReady(in)
				}
				if _, err := c.Write(ask(i)); err != nil {
					b.Error(err)
					return
				}
				if err := untilReady(in); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(processor()-began)/float64(b.N)/1e3, "cpu-µs/op")
}

// processor is what this process has used of the processor.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func untilReady(in *bufio.Reader) error {
	for {
		head, err := in.Peek(5)
		if err != nil {
			return err
		}
		kind := head[0]
		if _, err := in.Discard(int(binary.BigEndian.Uint32(head[1:])) + 1); err != nil || kind == 'Z' {
			return err
		}
	}
}

// answering is a server with one answer, of a row or of a thousand.
func answering(b *testing.B) string {
	return tcptest.Serve(b, func(_ int, c *net.TCPConn) {
		in := bufio.NewReader(c)
		head, _ := in.Peek(4)
		if len(head) == 4 {
			_, _ = in.Discard(int(binary.BigEndian.Uint32(head)))
		}
		answer := encode[pgproto3.BackendMessage](&pgproto3.AuthenticationOk{}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
		for {
			if _, err := c.Write(answer); err != nil {
				return
			}
			var err error
			if answer, err = answerTo(in, answer[:0]); err != nil {
				return
			}
		}
	})
}

// answerTo reads up to a Query's or a Sync's end and appends the answer.
func answerTo(in *bufio.Reader, answer []byte) ([]byte, error) {
	for {
		head, err := in.Peek(5)
		if err != nil {
			return nil, err
		}
		kind, length := head[0], int(binary.BigEndian.Uint32(head[1:]))+1
		whole, err := in.Peek(length)
		if err != nil {
			return nil, err
		}
		rows := 1
		if bytes.Contains(whole, []byte("1000 rows")) {
			rows = 1000
		}
		if _, err := in.Discard(length); err != nil {
			return nil, err
		}
		switch kind {
		case 'B':
			answer = append(answer, bound...)
		case 'Q', 'S':
			answer = append(answer, described...)
			for range rows {
				answer = append(answer, row...)
			}
			return append(answer, done...), nil
		}
	}
}

var (
	bound     = encode[pgproto3.BackendMessage](&pgproto3.BindComplete{})
	described = encode[pgproto3.BackendMessage](
		&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("abalance"), DataTypeOID: 23}}})
	row  = encode[pgproto3.BackendMessage](&pgproto3.DataRow{Values: [][]byte{[]byte("12345")}})
	done = encode[pgproto3.BackendMessage](
		&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
)

func copying(b *testing.B, server string) string {
	return tcptest.Serve(b, func(_ int, c *net.TCPConn) {
		up, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		defer up.Close()
		go func() {
			_, _ = io.CopyBuffer(struct{ io.Writer }{up}, struct{ io.Reader }{c}, make([]byte, 32<<10))
			up.Close()
		}()
		_, _ = io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{up}, make([]byte, 32<<10))
	})
}

func tapping(b *testing.B, server string) string {
	began := time.Now()
	n := 0
	var mu sync.Mutex
	tap, err := Listen(b.Context(), "127.0.0.1:0", Config{
		Name: "db", Upstream: server, Canary: testCanary,
		Now:    func() journal.Instant { return journal.Instant(time.Since(began)) },
		Record: func(journal.Entry) { mu.Lock(); n++; mu.Unlock() },
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(tap.Close)
	return tap.Address()
}
