package telemetry

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"
)

var jitter = struct {
	sync.Mutex
	*rand.Rand
}{Rand: rand.New(newSource())} //nolint:gosec // waits are no secret

// newSource is seeded from the operating system, so that no two replicas wait
// in step.
func newSource() rand.Source {
	var seed [16]byte
	_, _ = crand.Read(seed[:]) // never fails
	return rand.NewPCG(binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:]))
}

// Jitter draws a wait between nothing and most, evenly ("full jitter").
func Jitter(most time.Duration) time.Duration {
	jitter.Lock()
	defer jitter.Unlock()
	return time.Duration(jitter.Int64N(int64(most) + 1))
}
