package watcher

import (
	"os"
	"strconv"
	"strings"
)

// segmentsOf lists the System V shared memory segments that nobody uses any
// more and that one of these processes made: those of a PostgreSQL that was
// killed before seatrial knew of its segment.
func segmentsOf(makers map[int]uint64) []int {
	b, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return nil
	}
	var ids []int
	for line := range strings.Lines(string(b)) {
		// key shmid perms size cpid lpid nattch …, as in proc_sysvipc_shm(5)
		f := strings.Fields(line)
		if len(f) < 7 {
			continue
		}
		id, errID := strconv.Atoi(f[1])
		maker, errMaker := strconv.Atoi(f[4])
		if _, ours := makers[maker]; ours && errID == nil && errMaker == nil && f[6] == "0" {
			ids = append(ids, id)
		}
	}
	return ids
}
