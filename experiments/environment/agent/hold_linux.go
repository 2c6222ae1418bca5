package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fillWithin is how long a filler connection may take before the backlog
// counts as full, and maxFillers how many are tried.
const (
	fillWithin = 150 * time.Millisecond
	maxFillers = 4
)

// full is a listening socket with a full backlog.
type full struct {
	fd      int
	fillers []net.Conn
}

// Close ends it; connects that hang are answered with a refusal.
func (f *full) Close() error {
	var errs []error
	for _, c := range f.fillers {
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, unix.Close(f.fd))...)
}

// holdConnects listens on the address with a backlog of 0 and fills it with
// connections that are never accepted, until one more connect hangs.
func holdConnects(ctx context.Context, address string) (io.Closer, error) {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	fd, err := listenWithoutBacklog(addr)
	if err != nil {
		return nil, err
	}
	f := &full{fd: fd}
	dialer := net.Dialer{Timeout: fillWithin}
	for range maxFillers {
		c, err := dialer.DialContext(ctx, "tcp", reached(addr).String())
		if err != nil {
			var slow net.Error
			if errors.As(err, &slow) && slow.Timeout() && ctx.Err() == nil {
				return f, nil
			}
			return nil, errors.Join(err, f.Close())
		}
		f.fillers = append(f.fillers, c)
	}
	return nil, errors.Join(fmt.Errorf("the backlog took %d connections and is not full", maxFillers), f.Close())
}

// reached is where a listener is reached from here. One on all addresses of a
// container is dialled by IPv4, since IPv6 may be turned off there.
func reached(listens netip.AddrPort) netip.AddrPort {
	if listens.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), listens.Port())
	}
	return listens
}

func listenWithoutBacklog(addr netip.AddrPort) (int, error) {
	family, sa := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(addr.Port()), Addr: as4(addr)})
	if !addr.Addr().Unmap().Is4() {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, sa))
	}
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, 0))
	}
	if err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func as4(addr netip.AddrPort) [4]byte {
	if a := addr.Addr().Unmap(); a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}
