package wiretap

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// Codes in place of a protocol version (PostgreSQL documentation, "Message
// Formats").
const (
	cancelCode = 80877102
	sslCode    = 80877103
	gssCode    = 80877104
)

const (
	// maxStartup is the server's own limit of a startup packet.
	maxStartup = 10000
	// startupWithin is the server's default authentication_timeout.
	startupWithin = time.Minute
	tlsRecord     = 0x16 // begins a TLS handshake
)

// serve is one client's connection, from its first byte to its end.
func (t *Tap) serve(ctx context.Context, client net.Conn) {
	server, err := t.dial(ctx)
	if err != nil {
		return // as a proxy without an upstream
	}
	defer func() { t.drop(server) }()
	o := &opening{tap: t, client: client, server: server, in: bufio.NewReader(client)}
	_ = client.SetReadDeadline(time.Now().Add(startupWithin))
	more, err := o.greet(ctx)
	server = o.server // it may have been dialled anew
	if err != nil || !more {
		return
	}
	_ = client.SetReadDeadline(time.Time{})
	c := newConn(t, o)
	c.relay(ctx)
}

// opening is a connection before its first message.
type opening struct {
	tap            *Tap
	client, server net.Conn
	in             *bufio.Reader // from the client, within TLS if there is
	startup        statement
	packet         []byte // the startup packet, not yet sent
	blind          bool   // relay without a look
}

// greet answers what comes before the startup message, and takes that. False
// means that the connection is over.
func (o *opening) greet(ctx context.Context) (bool, error) {
	for {
		first, err := o.in.Peek(1)
		if err != nil {
			return false, err
		}
		if first[0] == tlsRecord {
			if o.tap.tls == nil {
				return false, nil
			}
			o.encrypt()
			continue
		}
		packet, err := o.next()
		if err != nil || packet == nil {
			o.blind = err == nil
			return o.blind, err
		}
		switch binary.BigEndian.Uint32(packet[4:]) {
		case sslCode:
			if more, err := o.answerTLS(ctx, packet); err != nil || !more {
				return more, err
			}
		case gssCode:
			if _, err := o.client.Write([]byte{'N'}); err != nil {
				return false, err
			}
		case cancelCode:
			o.packet, o.blind = packet, true
			return true, nil
		default:
			return o.start(packet)
		}
	}
}

// next takes a packet from before the startup message; nil, and nothing is
// taken, when what comes is none.
func (o *opening) next() ([]byte, error) {
	head, err := o.in.Peek(8)
	if err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head)
	if length < 8 || length > maxStartup {
		return nil, nil
	}
	packet := make([]byte, length)
	_, err = io.ReadFull(o.in, packet)
	return packet, err
}

// answerTLS asks the server too, so that the answer says that it lives.
func (o *opening) answerTLS(ctx context.Context, packet []byte) (bool, error) {
	if _, err := o.server.Write(packet); err != nil {
		return false, err
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(o.server, answer); err != nil {
		return false, err
	}
	switch answer[0] {
	case 'N':
	case 'S': // it waits for a handshake now, and we do without
		next, err := o.tap.dial(ctx)
		if err != nil {
			return false, err
		}
		o.tap.drop(o.server)
		o.server = next
	default: // an error instead
		_, err := o.client.Write(answer)
		o.blind = true
		return true, err
	}
	if o.tap.tls == nil {
		_, err := o.client.Write([]byte{'N'})
		return true, err
	}
	if o.in.Buffered() > 0 {
		return false, errors.New("a client sent more before it was told of TLS")
	}
	if _, err := o.client.Write([]byte{'S'}); err != nil {
		return false, err
	}
	o.encrypt()
	return true, nil
}

// encrypt goes on within TLS.
func (o *opening) encrypt() {
	o.client = tls.Server(&buffered{o.client, o.in}, o.tap.tls)
	o.in = bufio.NewReader(o.client)
}

// buffered is a connection of which some has been read ahead.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

// start takes the startup message. An interference may refuse it.
func (o *opening) start(packet []byte) (bool, error) {
	o.packet = packet
	o.startup = statement{stage: journal.StageStartup, tx: ' '}
	var m pgproto3.StartupMessage
	if m.Decode(packet[4:]) == nil {
		o.startup.app = m.Parameters["application_name"]
	}
	r := o.tap.pick(func(r *rule) bool { return r.At == faults.AtConnect && r.draw() && r.spend(0) })
	if r == nil {
		return true, nil
	}
	now := o.tap.config.Now()
	s := o.startup
	s.state, s.fault, s.done = r.SQLState, r.Fault, journal.DoneError
	o.tap.record(now, s.entry(o.tap.serial.Add(1), 0))
	refusal, err := errorMessage(r)
	if err == nil {
		_, err = o.client.Write(refusal)
	}
	return false, err
}

// errorMessage is the server's answer that an interference asks for.
func errorMessage(r *rule) ([]byte, error) {
	severity := "ERROR"
	if r.Fatal || r.At == faults.AtConnect {
		severity = "FATAL"
	}
	m := pgproto3.ErrorResponse{
		Severity: severity, SeverityUnlocalized: severity, Code: r.SQLState,
		Message: r.Message, Detail: "injected by seatrial",
	}
	return m.Encode(nil)
}

func (t *Tap) record(at journal.Instant, s journal.Statement) {
	t.config.Record(journal.Entry{At: at, On: t.config.Name, Body: s})
}
