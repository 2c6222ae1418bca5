package trial

import (
	"bytes"
	"errors"
	"path/filepath"

	"github.com/seatrial/seatrial/experiments/report"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// WriteReports writes summary.txt, junit.xml and report.html into the trial's
// folder, from what is in it. What could be written is written, also when
// another report could not.
func WriteReports(t *folder.Trial) error {
	var text, xml, html bytes.Buffer
	report.Text{}.Write(&text, t)
	errXML := report.JUnit(&xml, t)
	errHTML := report.HTML(&html, t, report.OpenSaved)
	write := func(name string, b *bytes.Buffer, err error) error {
		if err != nil {
			return err
		}
		return folder.WriteFile(filepath.Join(t.Dir, name), b.Bytes())
	}
	return errors.Join(
		write(folder.SummaryFile, &text, nil),
		write(folder.JUnitFile, &xml, errXML),
		write(folder.ReportFile, &html, errHTML),
	)
}
