package observe

import (
	"time"
)

// Process reads what the operating system says of a replica's process: CPU
// time, resident memory, descriptors and threads. It needs /proc; where there
// is none it records a note and nothing else.
type Process struct {
	Replica string
	// PID is asked for before each sample; zero means that it does not run.
	PID func() int
	// Every is the interval. Zero means 250 ms.
	Every time.Duration
}
