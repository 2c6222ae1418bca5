package journal

// Attempt is one attempt of the service to write, as the database counted it: a
// transaction that met a trigger of ours. The entry's On is the dependency, its
// At when the trigger was met.
type Attempt struct {
	N   int `json:"n"`             // from 1
	PID int `json:"pid,omitempty"` // the backend's
	// Code is the SQLSTATE that it was refused with; empty: it was let through.
	Code string `json:"code,omitempty"`
	// Refuse is how many in a row were refused before one was let through; zero:
	// all were.
	Refuse int `json:"refuse,omitempty"`
	// Commit says that it was refused when it committed, not at a statement.
	Commit bool `json:"commit,omitempty"`
}

// Kind is "attempt".
func (Attempt) Kind() string { return "attempt" }

var _ = register[Attempt]()
