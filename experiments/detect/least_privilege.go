package detect

import (
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// LeastPrivilege asks whether the roles under which the service is connected to
// its database can do no more than read and write rows (D46): no superuser, no
// right to create databases or roles, to replicate or to bypass row security, no
// table of their own, no right to create in a schema or the database, none of
// the roles that reach the server's files and programs; and CREATE TABLE, tried,
// is refused with 42501 (insufficient_privilege). What a role could become by
// SET ROLE counts as its own.
//
// It needs a privileges step, which asks the database. Temporary tables are not
// judged: PostgreSQL lets everybody make them, and they end with the session.
type LeastPrivilege struct {
	// Allow lists rights that the owner stands by: superuser, createdb,
	// createrole, replication, bypassrls, owns, create, server.
	Allow []string `json:"allow,omitempty" yaml:"allow"`
}

var _ = register(Info{
	Kind: "least_privilege", ID: "D46", Checklist: []string{"4.7"}, Class: Safety,
	Summary: "the service's database role can do no more than it must",
}, func() Detector { return &LeastPrivilege{} })

// refusedRight is the SQLSTATE insufficient_privilege.
const refusedRight = "42501"

// Detect judges every role.
func (l *LeastPrivilege) Detect(j journal.Journal) Finding {
	d := open("least_privilege")
	var roles []string
	allowed := false
	for e, p := range journal.Of[journal.Privileges](j) {
		if p.Err != "" {
			d.doubt("%s did not say what %s may do: %s", e.On, p.Role, p.Err)
			continue
		}
		roles = append(roles, p.Role)
		if !p.Connected {
			d.note("nobody was connected to %s at that moment; %s was meant to be", e.On, p.Role)
		}
		allowed = l.judge(d, e, p) || allowed
	}
	if len(roles) == 0 && len(d.doubts) == 0 {
		d.doubt("nobody asked the database what the service's role may do: the method has no privileges step")
	}
	if allowed {
		return d.close("%s may do no more than read and write rows, and what is allowed", strings.Join(roles, ", "))
	}
	return d.close("%s may neither own nor create anything, nor change roles, and CREATE TABLE was refused with %s",
		strings.Join(roles, ", "), refusedRight)
}

// judge judges one role; allowed says that it has rights which the owner stands by.
func (l *LeastPrivilege) judge(d *docket, e journal.Entry, p journal.Privileges) (allowed bool) {
	var said, borne []string
	for _, right := range rights(p) {
		if slices.Contains(l.Allow, right.name) {
			borne = append(borne, right.says)
		} else {
			said = append(said, right.says)
		}
	}
	d.add(bounded("rights_too_many", float64(len(said)), "1", "<=", 0, 1))
	if len(borne) > 0 {
		d.note("%s %s, which is allowed", p.Role, strings.Join(borne, ", "))
	}
	if len(said) > 0 {
		d.point(seen(e, "%s %s", p.Role, strings.Join(said, ", ")))
		d.against("promised least privilege; the service is connected to %s as %s, which %s: give it a role of its own "+
			"that may only read and write rows, and migrate as another", e.On, p.Role, strings.Join(said, ", "))
	}
	switch {
	case !p.Tried:
		d.doubt("whether %s may create a table in %s was not tried", p.Role, e.On)
	case p.Refused != "" && p.Refused != refusedRight:
		d.doubt("CREATE TABLE as %s in %s failed with %s, which says nothing of its rights", p.Role, e.On, p.Refused)
	}
	return len(borne) > 0
}

// right is one right too many.
type right struct {
	name, says string
}

// rights are those that a role has beyond reading and writing rows.
func rights(p journal.Privileges) []right {
	var all []right
	add := func(has bool, name, format string, args ...any) {
		if has {
			all = append(all, right{name, say(format, args...)})
		}
	}
	add(p.Superuser, "superuser", "is a superuser")
	if p.Superuser {
		return all // which may do everything else
	}
	add(p.CreateDB, "createdb", "may create databases")
	add(p.CreateRole, "createrole", "may create roles")
	add(p.Replication, "replication", "may replicate")
	add(p.BypassRLS, "bypassrls", "bypasses row security")
	add(p.Owns > 0, "owns", "owns %d tables (%s)", p.Owns, strings.Join(p.Owned, ", "))
	add(len(p.Creates) > 0, "create", "may create in %s", strings.Join(p.Creates, ", "))
	add(len(p.Server) > 0, "server", "has %s", strings.Join(p.Server, ", "))
	add(p.Tried && p.Refused == "" && len(p.Creates) == 0, "create", "could create a table")
	return all
}
