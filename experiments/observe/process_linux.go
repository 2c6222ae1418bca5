package observe

import (
	"context"
	"time"

	"github.com/prometheus/procfs"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Observe takes samples until the context ends.
func (p *Process) Observe(ctx context.Context, rec journal.Recorder) error {
	each(ctx, or(p.Every, 250*time.Millisecond), func() {
		pid := p.PID()
		if pid <= 0 {
			return
		}
		if sample, ok := processSample(pid); ok {
			rec.Record(journal.Entry{On: p.Replica, Body: sample})
		}
	})
	return nil
}

// processSample reads one process; false when it has gone, or is a zombie that
// nobody has waited for yet.
func processSample(pid int) (journal.ProcessSample, bool) {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return journal.ProcessSample{}, false
	}
	stat, err := proc.Stat()
	if err != nil || stat.State == "Z" {
		return journal.ProcessSample{}, false
	}
	fds, err := proc.FileDescriptorsLen()
	if err != nil {
		return journal.ProcessSample{}, false
	}
	return journal.ProcessSample{
		CPU:      time.Duration(stat.CPUTime() * float64(time.Second)),
		RSSBytes: int64(stat.ResidentMemory()),
		FDs:      fds,
		Threads:  stat.NumThreads,
	}, true
}
