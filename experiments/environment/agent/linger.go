package agent

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// lingerAll sets, on every connection that this process accepted on a proxy's
// address, whether closing it sends an RST. Toxiproxy sets this only for
// connections that are opened while reset_peer is in force, and does not
// export its connections; they are found among the process's descriptors.
func lingerAll(address string, rst bool) error {
	listen, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("linger: %w", err)
	}
	dir, err := os.ReadDir("/dev/fd")
	if err != nil {
		return fmt.Errorf("linger: %w", err)
	}
	option := &unix.Linger{}
	if rst {
		option.Onoff = 1
	}
	for _, entry := range dir {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || !accepted(fd, listen) {
			continue
		}
		// A connection that ends meanwhile is none of ours any more.
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, option)
	}
	return nil
}

// accepted reports whether fd is a connection whose own end is the address.
func accepted(fd int, listen netip.AddrPort) bool {
	local, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	if _, err := unix.Getpeername(fd); err != nil {
		return false // the listener itself
	}
	switch a := local.(type) {
	case *unix.SockaddrInet4:
		return same(netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), listen)
	case *unix.SockaddrInet6:
		return same(netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)), listen)
	}
	return false
}

// same reports whether a connection's own end belongs to a listener, which may
// listen on all addresses.
func same(local, listen netip.AddrPort) bool {
	return local == listen || listen.Addr().IsUnspecified() && local.Port() == listen.Port()
}
