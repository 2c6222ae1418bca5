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

// Carried is what a dependency's proxy carried, at the least, since the entry
// before it, where the proxy itself does not count: what its container received
// from the service and from the dependency, beside what packets are made of. The
// entry's On is the dependency. It is recorded every 100 ms.
type Carried struct {
	Bytes uint64 `json:"bytes"`
}

// Kind is "carried".
func (Carried) Kind() string { return "carried" }

var (
	_ = register[PacketCount]()
	_ = register[Carried]()
)
