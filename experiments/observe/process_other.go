//go:build !linux

package observe

import (
	"context"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Observe records a note: this system has no /proc.
func (p *Process) Observe(_ context.Context, rec journal.Recorder) error {
	rec.Record(journal.Entry{On: p.Replica, Body: journal.Note{
		Text: "processes are not observed on this system: it has no /proc",
	}})
	return nil
}
