package journal

// Forms of a [Planted] value. Those that come first change nothing in a
// statement, whatever is made of them; the rest does, where it becomes a part of
// one.
const (
	PlantedControl    = "control"    // the request as the traffic has it
	PlantedCanary     = "canary"     // the run's [Canary], and nothing that SQL knows
	PlantedQuote      = "quote"      // with a quote behind it
	PlantedOr         = "or"         // with ' OR '1'='1 behind it
	PlantedSleep      = "sleep"      // with '||pg_sleep(2)-- behind it
	PlantedCondition  = "condition"  // 1 OR 1=1, for where no quotes are
	PlantedExpression = "expression" // a select of pg_sleep(2), for where a column or a number is
)

// Planted is one request in which one value of a caller's was replaced by one
// that shows where it goes. The entry's On is the step, its At when the answer
// had come. The value itself is not kept: it holds the run's [Canary].
type Planted struct {
	Attack string  `json:"attack"`
	Seq    uint64  `json:"seq"`
	Route  string  `json:"route"`
	Field  string  `json:"field"` // "body $.name", "query sort", "path segment 3", "header X-Tenant"
	Form   string  `json:"form"`  // one of the Planted constants
	Sent   Instant `json:"sent"`
	Code   int     `json:"code,omitempty"` // zero: no answer
	Err    string  `json:"err,omitempty"`  // one of the Err constants
}

// Kind is "planted".
func (Planted) Kind() string { return "planted" }

var _ = register[Planted]()
