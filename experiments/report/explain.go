package report

import (
	"fmt"
	"strings"

	"github.com/seatrial/seatrial/experiments/detect"
)

// Explain is a finding in a few lines: its sentence, its remark, its figures
// against their bounds, and where in the journal it is seen.
func Explain(f detect.Finding) string {
	var b strings.Builder
	fmt.Fprintln(&b, Clean(f.Reason))
	if f.Remark != "" {
		fmt.Fprintln(&b, "remark: "+Clean(f.Remark))
	}
	for _, q := range quantities(f.Quantities) {
		fmt.Fprintln(&b, q.String())
	}
	for _, e := range f.Evidence {
		fmt.Fprintln(&b, evidenceLine(e))
	}
	return b.String()
}
