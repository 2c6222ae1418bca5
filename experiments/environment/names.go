package environment

import "strconv"

// ReplicaName is what the replica with an index is called in every backend:
// "replica-1" for 1, which is the first.
func ReplicaName(index int) string { return "replica-" + strconv.Itoa(index) }
