// Package tcptest serves TCP connections in tests.
package tcptest

import (
	"net"
	"sync"
	"testing"
)

// Serve serves each connection by a function, which is told its number, from 0,
// and returns the address. A connection is closed when its function returns;
// the test ends when all have.
func Serve(t testing.TB, handle func(nth int, c *net.TCPConn)) (address string) {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for nth := 0; ; nth++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = c.Close() }()
				handle(nth, c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().String()
}
