//go:build linux || darwin

package postgres

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// removeSegment removes the System V segment of a server that was killed; zero
// stands for none.
func removeSegment(id int) error {
	if id == 0 {
		return nil
	}
	_, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EIDRM) {
		return nil
	}
	return fmt.Errorf("remove shared memory %d: %w", id, err)
}
