package spawn

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes put a process into a group of its own, and have it killed when
// the thread that started it ends.
func attributes(user *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: user}
}

// reap waits for the end, kills what is left of the group, and only then lets
// the pid go: until then neither it nor the group's can be given to another.
func (p *Process) reap() error {
	pid := p.PID()
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	p.reaped = true
	return p.cmd.Wait()
}
