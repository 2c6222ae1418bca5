package netem

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/procfs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/faults"
)

// system is the kernel that we run on.
type system struct{}

// Links implements kernel.
func (system) Links() ([]int, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var links []int
	for _, l := range all {
		a := l.Attrs()
		if a.RawFlags&unix.IFF_LOOPBACK == 0 && a.RawFlags&unix.IFF_UP != 0 {
			links = append(links, a.Index)
		}
	}
	return links, nil
}

// queue is how many packets a device may hold back: a second of a thousand
// packets a hundred milliseconds late fits in well, and more than the kernel's
// own 1000 so that a delay alone loses none.
const queue = 10_000

// Add implements kernel. Its emulator is named as the device's root.
func (system) Add(link int, p faults.Packets) error {
	err := netlink.QdiscAdd(netlink.NewNetem(root(link), netlink.NetemQdiscAttrs{
		Limit:   queue,
		Latency: microseconds(p.Delay), Jitter: microseconds(p.Jitter),
		Loss: percent(p.Loss), Duplicate: percent(p.Duplication), CorruptProb: percent(p.Corruption),
	}))
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		return lack{fmt.Sprintf("the engine's kernel has no network emulator (NET_SCH_NETEM, module sch_netem): %v", err)}
	case errors.Is(err, unix.EPERM):
		return lack{fmt.Sprintf("the engine does not let a container change its network (NET_ADMIN): %v", err)}
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("its packets are disturbed already; one fault of packets at a time is put on a target: %w", err)
	}
	return err
}

func root(link int) netlink.QdiscAttrs {
	return netlink.QdiscAttrs{LinkIndex: link, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}
}

// microseconds are what netlink takes.
func microseconds(d time.Duration) uint32 { return uint32(min(d.Microseconds(), 1<<32-1)) }

func percent(share float64) float32 { return float32(share * 100) }

// Remove implements kernel. That the device has gone is no error.
func (system) Remove(link int) error {
	err := netlink.QdiscDel(netlink.NewNetem(root(link), netlink.NetemQdiscAttrs{}))
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// Count implements kernel.
func (system) Count(link int) (sent, dropped uint64, err error) {
	l, err := netlink.LinkByIndex(link)
	if err != nil {
		return 0, 0, err
	}
	all, err := netlink.QdiscList(l)
	if err != nil {
		return 0, 0, err
	}
	for _, q := range all {
		a := q.Attrs()
		if q.Type() != "netem" || a.Statistics == nil || a.Statistics.Basic == nil || a.Statistics.Queue == nil {
			continue
		}
		return uint64(a.Statistics.Basic.Packets), uint64(a.Statistics.Queue.Drops), nil
	}
	return 0, 0, errors.New("its emulator has gone")
}

// TCP implements kernel.
func (system) TCP() (again, twice uint64, err error) {
	self, err := procfs.Self()
	if err != nil {
		return 0, 0, err
	}
	snmp, err := self.Snmp()
	if err != nil {
		return 0, 0, err
	}
	netstat, err := self.Netstat()
	if err != nil {
		return 0, 0, err
	}
	count := func(counters ...*float64) (sum uint64) {
		for _, c := range counters {
			if c != nil {
				sum += uint64(*c)
			}
		}
		return sum
	}
	return count(snmp.RetransSegs), count(netstat.TCPDSACKRecv, netstat.TCPDSACKOfoRecv), nil
}
