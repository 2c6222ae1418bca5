//go:build !linux

package netem

import "github.com/seatrial/seatrial/faults"

// system is the kernel that we run on. Containers run on Linux, so that this is
// never asked.
type system struct{}

var errLinux = lack{"packets are disturbed by Linux only"}

// Links implements kernel.
func (system) Links() ([]int, error) { return nil, errLinux }

// Add implements kernel.
func (system) Add(int, faults.Packets) error { return errLinux }

// Remove implements kernel.
func (system) Remove(int) error { return errLinux }

// Count implements kernel.
func (system) Count(int) (sent, dropped uint64, err error) { return 0, 0, errLinux }

// TCP implements kernel.
func (system) TCP() (again, twice uint64, err error) { return 0, 0, errLinux }
