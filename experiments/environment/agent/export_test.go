package agent

import "time"

// SetWedged sets how long Toxiproxy's API may take.
func SetWedged(a *Agent, d time.Duration) { a.wedged = d }
