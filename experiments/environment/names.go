package environment

import "strconv"

// ReplicaName is what a service's replica with an index is called in every
// backend: "orders-1" for the first, which has index 1.
func ReplicaName(service string, index int) string { return service + "-" + strconv.Itoa(index) }
