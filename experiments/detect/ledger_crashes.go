package detect

import (
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// crashes counts the replicas' ends by SIGKILL, and those of them that cut a
// write short: it was under way then, and was tried again or never answered.
func crashes(j journal.Journal) (seen, cutting int) {
	var at []journal.Instant
	for e, exit := range journal.Of[journal.Exited](j) {
		if exit.Signal == "killed" && slices.Contains(j.Header().Replicas, e.On) {
			at = append(at, e.At)
		}
	}
	if len(at) == 0 {
		return 0, 0
	}
	cut := cutWrites(j)
	for _, t := range at {
		cutting += one(slices.ContainsFunc(cut, func(r journal.Request) bool { return r.Sent <= t && t <= r.Done }))
	}
	return len(at), cutting
}

// cutWrites are the writes that needed more than one try, or got no answer.
func cutWrites(j journal.Journal) (cut []journal.Request) {
	type hit struct {
		attack string
		seq    uint64
	}
	writes := map[hit]bool{}
	for _, w := range journal.Of[journal.Write](j) {
		writes[hit{w.Attack, w.Seq}] = true
	}
	for r := range j.Requests(journal.Window{}) {
		if writes[hit{r.Attack, r.Seq}] && (r.Tries > 1 || r.Replays > 0 || r.Err != "" && !r.Dropped) {
			cut = append(cut, r)
		}
	}
	return cut
}
