package experiments

import (
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/subject"
)

// ReplicaNames are the names of a subject's first n replicas: "orders-1",
// "orders-2".
func ReplicaNames(s *subject.Subject, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = environment.ReplicaName(s.Name, i+1)
	}
	return names
}
