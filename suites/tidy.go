//go:build tidy

package suites

// The go command leaves testdata out of ./..., and so would drop what only the
// reference service needs. This import, which no build sees, keeps `go mod tidy`
// right.
import _ "github.com/seatrial/seatrial/testdata/orders/cmd/orders"
