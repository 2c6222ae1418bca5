package watcher

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
)

// list is what the watcher has been told.
type list struct {
	scratch   string
	processes map[int]uint64 // pid to start time
	shm       map[int]bool
	cleaners  map[string]bool
	env       map[string]string // that the cleaners need
}

func newList(scratch string) *list {
	return &list{
		scratch: scratch, processes: map[int]uint64{}, shm: map[int]bool{},
		cleaners: map[string]bool{}, env: map[string]string{},
	}
}

// apply takes one order down. Processes alone are ever taken off the list.
func (l *list) apply(o order) {
	add := o.Op == "add"
	switch {
	case o.PID != 0 && add:
		l.processes[o.PID] = o.Start
	case o.PID != 0:
		delete(l.processes, o.PID)
	case !add:
	case o.Cleaner != "":
		l.cleaners[o.Cleaner] = true
		maps.Copy(l.env, o.Env)
	case o.Shm != 0:
		l.shm[o.Shm] = true
	}
}

// decode reads one order; anything else is an error.
func decode(line []byte) (order, error) {
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return order{}, fmt.Errorf("read order %.80q: %w", line, err)
	}
	if o.Op != "add" && o.Op != "forget" {
		return order{}, fmt.Errorf("read order: no operation is called %q", o.Op)
	}
	if o.PID < 0 || o.PID == 1 {
		return order{}, fmt.Errorf("read order: pid %d is never ours", o.PID)
	}
	return o, nil
}

// read takes orders down until the end of the pipe. A line that is no order
// (the last one may be torn) is skipped: whatever else was asked for still
// has to be done.
func (l *list) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if o, err := decode(lines.Bytes()); err == nil {
			l.apply(o)
		}
	}
}
