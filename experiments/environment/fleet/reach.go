package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/subject"
)

// References are what a subject may refer to of a dependency that is reached at
// address, by the part after its name; those of a PostgreSQL are its database's.
func References(kind, address string) map[string]string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	refs := map[string]string{"host": host, "port": port, "address": address}
	switch kind {
	case subject.Redis:
		refs["url"] = "redis://" + address + "/0"
	case subject.HTTP:
		refs["url"] = "http://" + address
	case subject.TCP:
		refs["url"] = "tcp://" + address
	}
	return refs
}

// PingRedis exchanges one PING with a Redis server.
func PingRedis(ctx context.Context, address string) error {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("*1\r\n$4\r\nPING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && strings.TrimSpace(line) != "+PONG" {
		err = fmt.Errorf("it answered %q", line)
	}
	return err
}

// Accepts says why nobody listens at an address; nil when somebody does. Where
// connections are accepted also for one who does not listen, as a container
// engine's proxy does, one must last for a moment.
func Accepts(ctx context.Context, address string, fronted bool) error {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if !fronted {
		return nil
	}
	if err := c.SetReadDeadline(time.Now().Add(frontedWait)); err != nil {
		return err
	}
	var slow net.Error
	if _, err := c.Read(make([]byte, 1)); err != nil && (!errors.As(err, &slow) || !slow.Timeout()) {
		return fmt.Errorf("a connection to %s is closed right after it was opened: %w", address, err)
	}
	return nil
}

// frontedWait is how long a connection must last that somebody else may have
// accepted: a container engine's proxy closes it within a millisecond.
const frontedWait = 50 * time.Millisecond
