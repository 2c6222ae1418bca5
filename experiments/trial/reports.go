package trial

import (
	"bytes"
	"errors"
	"path/filepath"

	"github.com/seatrial/seatrial/experiments/report"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// WriteReports writes junit.xml, report.html and summary.txt, which names the
// report, into the trial's folder, from what is in it. What could be written is
// written, also when another report could not.
func WriteReports(t *folder.Trial) error {
	var text, xml, html bytes.Buffer
	write := func(name string, b *bytes.Buffer, err error) error {
		if err != nil {
			return err
		}
		return folder.WriteFile(filepath.Join(t.Dir, name), b.Bytes())
	}
	errXML := write(folder.JUnitFile, &xml, report.JUnit(&xml, t))
	errHTML := write(folder.ReportFile, &html, report.HTML(&html, t, report.OpenSaved))
	report.Text{}.Write(&text, t)
	return errors.Join(errXML, errHTML, write(folder.SummaryFile, &text, nil))
}
