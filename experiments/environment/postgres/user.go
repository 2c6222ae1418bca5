package postgres

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Unprivileged is whom servers run as when seatrial runs as root, which
// PostgreSQL refuses: postgres, else nobody. Otherwise it is nil: servers run
// as whoever runs seatrial.
func Unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil stands for the present user
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.ParseUint(u.Uid, 10, 32)
		gid, errG := strconv.ParseUint(u.Gid, 10, 32)
		if errU == nil && errG == nil && uid != 0 {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("there is no user postgres or nobody to run servers as; " +
		"add one, or run seatrial as another user than root")
}

// own gives a file to the user, where there is one.
func own(path string, u *syscall.Credential) error {
	if u == nil {
		return nil
	}
	return os.Lchown(path, int(u.Uid), int(u.Gid))
}
