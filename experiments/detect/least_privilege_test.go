package detect

import (
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// roleMade is a journal in which the database was asked about a role.
func roleMade(edit func(*journal.Privileges)) func() *made {
	return func() *made {
		m := newMade()
		m.step("rights", "privileges", "probe", "db", 1, 2)
		p := journal.Privileges{Role: "app_service", Connected: true, Tried: true, Refused: refusedRight}
		edit(&p)
		m.at(1.5, "db", p)
		return m
	}
}

func TestLeastPrivilege(t *testing.T) {
	for name, tt := range map[string]struct {
		edit    func(*journal.Privileges)
		outcome Outcome
		reason  string
	}{
		"none":        {func(*journal.Privileges) {}, Held, "CREATE TABLE was refused with 42501"},
		"nobody":      {func(p *journal.Privileges) { p.Connected = false }, Held, "nobody was connected"},
		"superuser":   {func(p *journal.Privileges) { p.Superuser, p.Owns = true, 9 }, Violated, "is a superuser:"},
		"createdb":    {func(p *journal.Privileges) { p.CreateDB = true }, Violated, "may create databases"},
		"createrole":  {func(p *journal.Privileges) { p.CreateRole = true }, Violated, "may create roles"},
		"replication": {func(p *journal.Privileges) { p.Replication = true }, Violated, "may replicate"},
		"bypassrls":   {func(p *journal.Privileges) { p.BypassRLS = true }, Violated, "bypasses row security"},
		"owner": {func(p *journal.Privileges) {
			p.Owns, p.Owned = 2, []string{"public.items", "public.orders"}
		}, Violated, "owns 2 tables (public.items, public.orders)"},
		"schema": {func(p *journal.Privileges) {
			p.Creates, p.Refused = []string{"schema public"}, ""
		}, Violated, "may create"},
		"files": {func(p *journal.Privileges) { p.Server = []string{"pg_write_server_files"} }, Violated, "has pg_write"},
		"tried": {func(p *journal.Privileges) { p.Refused = "" }, Violated, "could create a table"},
		"other": {func(p *journal.Privileges) { p.Refused = "53100" }, Unknown, "failed with 53100"},
		"not":   {func(p *journal.Privileges) { p.Tried, p.Refused = false, "" }, Unknown, "was not tried"},
		"error": {func(p *journal.Privileges) { p.Err = "refused" }, Unknown, "did not say what app_service may do"},
	} {
		t.Run(name, func(t *testing.T) {
			wants(t, judged(t, "least_privilege", roleMade(tt.edit)()), tt.outcome, tt.reason)
		})
	}
	wants(t, judged(t, "least_privilege", newMade()), Unknown, "no privileges step")
	allowed := (&LeastPrivilege{Allow: []string{"owns"}}).Detect(
		roleMade(func(p *journal.Privileges) { p.Owns = 1 })().memory())
	wants(t, allowed, Held, "app_service may do no more than read and write rows, and what is allowed")
	wants(t, allowed, Held, "which is allowed")
}

var (
	_ = madeUpAs("least_privilege/held-rows-only", makes(roleMade(func(*journal.Privileges) {})))
	_ = madeUpAs("least_privilege/violated-owner", makes(roleMade(func(p *journal.Privileges) {
		p.Role, p.Owns, p.Owned = "app_owner", 2, []string{"public.order_items", "public.orders"}
		p.Creates, p.Refused = []string{"database orders", "schema public"}, ""
	})))
	_ = madeUpAs("least_privilege/unknown-not-asked", makes(newMade))
)
