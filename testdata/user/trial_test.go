package prices_test

import (
	"testing"

	"github.com/seatrial/seatrial/suites"
)

// TestSeaTrial is a trial as a plain test.
func TestSeaTrial(t *testing.T) { suites.Run(t, "seatrial.yaml", suites.Label("own")) }
