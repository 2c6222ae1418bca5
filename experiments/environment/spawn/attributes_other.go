//go:build !linux

package spawn

import "syscall"

// attributes put a process into a group of its own. There is no parent-death
// signal here.
func attributes(user *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: user}
}

// reap waits for the end and kills what is left of the group.
func (p *Process) reap() error {
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	p.reaped = true
	return err
}
