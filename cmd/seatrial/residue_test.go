package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/gofrs/flock"

	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/procs"
)

// residue is what a seatrial left behind, described in words.
type residue map[string]bool

// lookForResidue looks for what is left of a seatrial whose folder for
// temporary files was tmp, beside what was there before.
func lookForResidue(tmp string, before residue) (residue, error) {
	left := residue{}
	marked, err := markedProcesses(tmp)
	if err != nil {
		return nil, err
	}
	for pid := range marked {
		left[fmt.Sprintf("process %d: %s", pid, about(pid, "cmdline"))] = true
	}
	entries, err := os.ReadDir(tmp)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		left["file "+filepath.Join(tmp, e.Name())] = true
	}
	for _, find := range []func(residue) error{orphanedPorts, orphanedMemory} {
		found := residue{}
		if err := find(found); err != nil {
			return nil, err
		}
		for what := range found {
			if !before[what] {
				left[what] = true
			}
		}
	}
	return left, nil
}

// markedProcesses finds the processes that name tmp in their environment or
// their arguments, or work below it, with what these say.
func markedProcesses(tmp string) (map[int]string, error) {
	all, err := procs.List()
	if err != nil {
		return nil, err
	}
	found := map[int]string{}
	for _, p := range all {
		if p.Dead() || p.PID == os.Getpid() {
			continue
		}
		text := strings.Join([]string{procs.WorkingDir(p.PID), about(p.PID, "environ"), about(p.PID, "cmdline")}, " ")
		if strings.Contains(text, tmp) {
			found[p.PID] = text
		}
	}
	return found, nil
}

// about reads a file of a process in /proc; empty when it has just ended.
func about(pid int, file string) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(b), "\x00", " ")
}

// killAll ends what a failed test may have left.
func killAll(tmp string) {
	found, err := markedProcesses(tmp)
	if err != nil {
		return
	}
	for pid := range found {
		_ = procs.Kill(pid)
	}
}

// listening is the state of a listening socket in proc_net_tcp.
const listening = "0A"

// orphanedPorts finds ports of the range that trials lease from on which
// somebody listens, though no trial holds their lease.
func orphanedPorts(found residue) error {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line) // sl local_address rem_address st …
			if len(f) < 4 || f[3] != listening {
				continue
			}
			_, hex, _ := strings.Cut(f[1], ":")
			port, err := strconv.ParseInt(hex, 16, 32)
			if err != nil || port < ports.First || port >= ports.End {
				continue
			}
			if !leased(int(port)) {
				found[fmt.Sprintf("port %d", port)] = true
			}
		}
	}
	return nil
}

func leased(port int) bool {
	lock := flock.New(filepath.Join(ports.Dir(), strconv.Itoa(port)), flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryRLock()
	if free {
		_ = lock.Unlock()
	}
	return err == nil && !free
}

// orphanedMemory finds System V shared memory that nobody uses and whose maker
// is gone.
func orphanedMemory(found residue) error {
	return sharedMemory(found, func(maker, users int) bool {
		return users == 0 && syscall.Kill(maker, 0) == syscall.ESRCH
	})
}

// allMemory finds the System V shared memory of all processes. What was there
// before is nobody's residue, also if somebody lives whose maker's pid it is.
func allMemory(found residue) error {
	return sharedMemory(found, func(int, int) bool { return true })
}

// sharedMemory finds the segments of System V shared memory of which a function
// of their maker's pid and of how many use them says so.
func sharedMemory(found residue, counts func(maker, users int) bool) error {
	b, err := os.ReadFile("/proc/sysvipc/shm")
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line) // key shmid perms size cpid lpid nattch …
		if len(f) < 7 || f[0] == "key" {
			continue
		}
		maker, err := strconv.Atoi(f[4])
		if err != nil {
			return fmt.Errorf("read /proc/sysvipc/shm: %w", err)
		}
		users, err := strconv.Atoi(f[6])
		if err != nil {
			return fmt.Errorf("read /proc/sysvipc/shm: %w", err)
		}
		if counts(maker, users) {
			found["shared memory "+f[1]] = true
		}
	}
	return nil
}
