package detect

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// MixedVersions asks whether a schema can be migrated and the service rolled to
// its next version, and back, without a caller noticing (D53): no request fails
// in any phase, and each version reads what the other one wrote. The phases
// are: the present version before the migration; the same during and after it;
// then from the beginning of each roll to that of the next one, and to the end
// of the load. While a replica drains, the version before the roll still answers:
// the finding says how many failures of a phase fell into its roll.
//
// It needs the operations migrate, roll_to and read_across under load: without
// a failure in 1000 requests the true share is below 0.3 % with 95 %
// confidence.
type MixedVersions struct {
	// AtLeast is how many requests each phase needs. Default 1000.
	AtLeast int `yaml:"at_least" json:"at_least,omitempty"`
	// MinReads is how many reads in each direction are needed. Default 20.
	MinReads int `yaml:"min_reads" json:"min_reads,omitempty"`
}

var _ = register(Info{
	Kind: "mixed_versions", ID: "D53", Checklist: []string{"5.1", "5.2", "5.5", "10.5"}, Class: Timing,
	Summary: "old and new version work on the new schema, side by side, and there is a way back",
}, func() Detector { return &MixedVersions{AtLeast: 1000, MinReads: 20} })

// rolloutPhase is one part of a rollout.
type rolloutPhase struct {
	name, key  string // as in reasons, as in quantities
	window     journal.Window
	rolled     journal.Instant // when its roll was over; zero where it has none
	sent, fail int
	dropped    int // hits that we could not send
	rolling    int // failures before rolled
	answers    tally
	worst      Evidence
}

// Detect judges the journal.
func (d *MixedVersions) Detect(j journal.Journal) Finding {
	c := open("mixed_versions")
	phases, err := rolloutPhases(j)
	if err != nil {
		return c.unknown("whether versions can be mixed is not known: %v", err)
	}
	if !slices.ContainsFunc(phases, func(p *rolloutPhase) bool { return p.name == wayBack }) {
		c.doubt("no roll led back to the present version, so whether there is a way back is not known")
	}
	d.migrations(c, j)
	d.rolls(c, j)
	d.requests(c, j, phases)
	d.reads(c, j)
	sent := 0
	for _, p := range phases {
		sent += p.sent
	}
	return c.close("promised: old and new version work side by side on the new schema, and there is a way back; seen: no "+
		"failure in %d phases (%d requests), and each version read what the other one wrote", len(phases), sent)
}

// rolloutPhases cuts the run at its migration and at each of its rolls.
func rolloutPhases(j journal.Journal) ([]*rolloutPhase, error) {
	var migrations, rolls []journal.Step
	for _, s := range j.Steps() {
		switch {
		case !s.Has[journal.PhaseBegin]:
		case s.Action == "migrate":
			migrations = append(migrations, s)
		case s.Action == "roll_to":
			rolls = append(rolls, s)
		}
	}
	if len(migrations) == 0 || len(rolls) < 2 {
		return nil, fmt.Errorf("the run had %d migrations and %d rolls; it needs a migrate step, a roll_to to the next "+
			"version and one back", len(migrations), len(rolls))
	}
	slices.SortFunc(rolls, func(a, b journal.Step) int { return cmp.Compare(a.Begun, b.Begun) })
	phases := []*rolloutPhase{
		{name: "the present version, before the migration", key: "before", window: journal.Window{From: loadStart(j)}},
		{name: "the present version on the new schema", key: "migrated", window: journal.Window{From: migrations[0].Begun}},
	}
	for i, r := range rolls {
		mix := mixAt(j, r)
		phases = append(phases, &rolloutPhase{
			name: mix, key: fmt.Sprintf("roll_%d", i+1), window: journal.Window{From: r.Begun}, rolled: r.Reverted,
		})
	}
	for i, p := range phases {
		p.answers = tally{}
		p.window.To = loadEnd(j)
		if i+1 < len(phases) {
			p.window.To = phases[i+1].window.From
		}
	}
	return phases, nil
}

// mixAt names which versions run when a roll has ended.
func mixAt(j journal.Journal, roll journal.Step) string {
	version := map[string]string{}
	for e, s := range journal.Of[journal.Started](j) {
		if !roll.Has[journal.PhaseReverted] || e.At <= roll.Reverted {
			version[e.On] = s.Version
		}
	}
	next, all := 0, j.Header().Replicas
	for _, r := range all {
		next += one(version[r] == versionNext)
	}
	switch next {
	case 0:
		return wayBack
	case len(all):
		return "the next version alone"
	}
	return "both versions side by side"
}

// wayBack is the phase in which the present version runs again.
const wayBack = "the way back: the present version on the new schema"

// versionNext is what the journal calls the next version.
const versionNext = "next"

// migrations wants every migrator to have come to its end.
func (d *MixedVersions) migrations(c *docket, j journal.Journal) {
	ended := 0
	for e, m := range journal.Of[journal.Migrated](j) {
		if m.Began {
			continue
		}
		ended++
		if m.Err != "" {
			c.against("promised that the schema can be migrated while the service goes on; migrator %d ended with: %s",
				m.Migrator, m.Err)
			c.point(seen(e, "migrator %d: %s", m.Migrator, m.Err))
		}
	}
	if ended == 0 {
		c.doubt("no migrator was seen to end")
	}
}

// rolls wants every replica to have become ready as the other version.
func (d *MixedVersions) rolls(c *docket, j journal.Journal) {
	for e, r := range journal.Of[journal.Rolled](j) {
		if r.Err != "" {
			c.against("promised that each version starts on the new schema; %s did not become ready as the %s version: %s",
				e.On, r.Version, r.Err)
			c.point(seen(e, "%s as the %s version: %s", e.On, r.Version, r.Err))
		}
	}
}

func (d *MixedVersions) requests(c *docket, j journal.Journal, phases []*rolloutPhase) {
	run := j.Header().Run
	for _, p := range phases {
		for r := range hits(j, span{windows: []journal.Window{p.window}}, "", nil) {
			if r.Dropped {
				p.dropped++
				continue
			}
			p.sent++
			if r.OK {
				continue
			}
			p.fail++
			p.rolling += one(r.Due < p.rolled)
			p.answers[cmp.Or(r.Route, "a request")+" "+answer(r)]++
			if p.fail == 1 {
				p.worst = requestEvidence(run, r)
			}
		}
		c.add(bounded("failed_"+p.key, float64(p.fail), "1", "<=", 0, p.sent))
		switch {
		case p.fail > 0:
			c.against("promised that no request fails for a rollout; seen with %s (%v to %v): %d of %d failed (%s)%s",
				p.name, p.window.From, p.window.To, p.fail, p.sent, p.answers, p.duringRoll())
			c.point(p.worst)
		case p.sent < d.AtLeast:
			c.doubt("with %s (%v to %v) there were %d requests, and %d are needed", p.name, p.window.From, p.window.To,
				p.sent, d.AtLeast)
		case ratio(p.dropped, p.sent+p.dropped) > dropsBearable:
			c.doubt("with %s (%v to %v) %d of %d hits could not be sent", p.name, p.window.From, p.window.To, p.dropped,
				p.sent+p.dropped)
		}
	}
}

// duringRoll says how many of the failures may be the version before's, which
// answers until its last replica has drained.
func (p *rolloutPhase) duringRoll() string {
	if p.rolling == 0 {
		return ""
	}
	return say(", %d of them before the roll was over at %v, while the version before still answered",
		p.rolling, p.rolled)
}

// reads judges what one version wrote and the other one read.
func (d *MixedVersions) reads(c *docket, j journal.Journal) {
	type direction struct {
		writer, reader string
	}
	name := map[string]string{versionNext: "next", "": "present"}
	good, bad := map[direction]int{}, map[direction]int{}
	version := map[string]string{}
	for e := range j.Entries(journal.Started{}.Kind(), journal.CrossRead{}.Kind()) {
		switch b := e.Body.(type) {
		case journal.Started:
			version[e.On] = b.Version
			if b.Version != versionNext {
				version[e.On] = ""
			}
		case journal.CrossRead:
			at := direction{version[b.Writer], version[b.Reader]}
			if b.OK {
				good[at]++
				continue
			}
			bad[at]++
			c.point(Evidence{
				At: e.At, Kind: b.Kind(), On: journal.RequestID(j.Header().Run, b.Attack, b.Seq),
				Excerpt: fmt.Sprintf("%s at %s (%s version) of what %s (%s version) wrote: %s", b.Route, b.Reader,
					name[at.reader], b.Writer, name[at.writer], cmp.Or(b.Err, fmt.Sprint(b.Code))),
			})
		}
	}
	for _, at := range []direction{{"", versionNext}, {versionNext, ""}} {
		n := good[at] + bad[at]
		c.add(bounded("reads_failed_by_"+name[at.reader], float64(bad[at]), "1", "<=", 0, n))
		switch {
		case bad[at] > 0:
			c.against("promised that each version reads what the other one wrote; the %s version could not in %d of %d reads "+
				"of what the %s one wrote", name[at.reader], bad[at], n, name[at.writer])
		case n < d.MinReads:
			c.doubt("the %s version read %d times what the %s one wrote, and %d are needed; the run needs a read_across step "+
				"while both run", name[at.reader], n, name[at.writer], d.MinReads)
		}
	}
}
