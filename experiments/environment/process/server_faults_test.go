package process

import (
	"os/exec"
	"testing"

	"github.com/seatrial/seatrial/experiments/environment/environmenttest"
)

func TestFaultsOfServers(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server on this machine")
	}
	environmenttest.Break(t, backend(t), tiny())
}
