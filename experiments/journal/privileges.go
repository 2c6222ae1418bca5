package journal

// Privileges are what one role of a database may do, as the database itself
// says, roles that it can become included. The entry's On is the dependency.
type Privileges struct {
	Role string `json:"role"`
	// Connected says that connections of the service were seen under it.
	Connected   bool `json:"connected,omitempty"`
	Superuser   bool `json:"superuser,omitempty"`
	CreateDB    bool `json:"createdb,omitempty"`
	CreateRole  bool `json:"createrole,omitempty"`
	Replication bool `json:"replication,omitempty"`
	BypassRLS   bool `json:"bypassrls,omitempty"`
	// Owns counts the tables that it owns, Owned names some of them.
	Owns  int      `json:"owns,omitempty"`
	Owned []string `json:"owned,omitempty"`
	// Creates names the schemas and the database in which it may create.
	Creates []string `json:"creates,omitempty"`
	// Server names the roles it has that reach the server's files and programs.
	Server []string `json:"server,omitempty"`
	// Tried says that CREATE TABLE was tried with its rights, and Refused with
	// which SQLSTATE it was refused; empty means that the table was created (and
	// taken back at once).
	Tried   bool   `json:"tried,omitempty"`
	Refused string `json:"refused,omitempty"`
	// Err says why nothing could be found out.
	Err string `json:"err,omitempty"`
}

// Kind is "privileges".
func (Privileges) Kind() string { return "privileges" }

var _ = register[Privileges]()
