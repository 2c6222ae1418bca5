package experiments

import (
	"fmt"

	"github.com/seatrial/seatrial/experiments/subject"
)

// ReplicaNames are the names of a subject's first n replicas: "orders-1",
// "orders-2".
func ReplicaNames(s *subject.Subject, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", s.Name, i+1)
	}
	return names
}
