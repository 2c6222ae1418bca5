//go:build linux || darwin

package watcher

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// removeShm removes a System V shared memory segment; that it is not there any
// more is no error.
func removeShm(id int) error {
	_, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EIDRM) {
		return nil
	}
	return fmt.Errorf("remove shared memory %d: %w", id, err)
}
