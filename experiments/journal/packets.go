package journal

// PacketCount is what a kernel counted of the packets that left a container
// while they were disturbed. The entry's On is the replica or the dependency, its
// At when the disturbance was in force.
type PacketCount struct {
	// Sent are the packets that were to leave, Dropped those of them that the
	// disturbance took away.
	Sent    uint64 `json:"sent"`
	Dropped uint64 `json:"dropped,omitempty"`
	// Again are the segments that TCP sent another time, Twice those of which the
	// other side told it that they came twice.
	Again uint64 `json:"again,omitempty"`
	Twice uint64 `json:"twice,omitempty"`
}

// Kind is "packets".
func (PacketCount) Kind() string { return "packets" }

var _ = register[PacketCount]()
