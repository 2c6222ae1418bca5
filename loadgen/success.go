package loadgen

import (
	"fmt"
	"strconv"

	"github.com/seatrial/seatrial/experiments/journal"
)

// success says which statuses are successes.
type success struct {
	classes [10]bool // by the first digit
	codes   map[int]bool
}

// newSuccess reads statuses ("201") and classes ("2xx"); none means 2xx and
// 3xx.
func newSuccess(list []string) (success, error) {
	if len(list) == 0 {
		list = []string{"2xx", "3xx"}
	}
	s := success{codes: map[int]bool{}}
	for _, word := range list {
		if len(word) == 3 && word[0] >= '1' && word[0] <= '5' {
			if word[1:] == "xx" {
				s.classes[word[0]-'0'] = true
				continue
			}
			if code, err := strconv.Atoi(word); err == nil {
				s.codes[code] = true
				continue
			}
		}
		return s, fmt.Errorf("success: %q is neither a status such as 201 nor a class such as 2xx", word)
	}
	return s, nil
}

func (s success) has(code int) bool {
	return s.codes[code] || code >= 100 && code < 600 && s.classes[code/100]
}

// outcome is what the caller of a write knows of it. An answer that was cut off
// is no answer.
func outcome(r journal.Request) string {
	switch {
	case r.Err != "":
		return journal.UnknownOutcome
	case r.OK:
		return journal.Acknowledged
	case r.Code >= 400 && r.Code < 500, r.Code == 503:
		return journal.Refused
	}
	return journal.UnknownOutcome
}
