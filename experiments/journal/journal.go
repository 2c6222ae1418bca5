package journal

import "iter"

// Journal is everything that was seen in one run. It is read any number of
// times; an iterator reads from its beginning each time it is ranged over.
type Journal interface {
	// Header holds the plan-side facts that a detector needs.
	Header() Header
	// Entries yields the entries of the named kinds, or all of them when no
	// kind is named, in the order in which they were recorded.
	Entries(kinds ...string) iter.Seq[Entry]
	// Requests yields the requests that were due in the window, in the order
	// in which they were recorded (that of their ends).
	Requests(Window) iter.Seq[Request]
	// Steps are the method's steps as carried out, in the plan's order.
	Steps() []Step
}

// Recorder takes down what is seen while it happens. It is safe for use by
// several goroutines. Errors of writing are kept and returned when the
// recorder is closed, and stop the run at the next step.
type Recorder interface {
	// Now is the present instant of the run.
	Now() Instant
	// Record takes an entry down. An entry whose At is zero is given Now.
	Record(Entry)
	// Request takes a finished, dropped or given-up request down.
	Request(Request)
}
