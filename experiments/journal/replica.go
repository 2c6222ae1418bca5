package journal

import "time"

// Poll endpoints.
const (
	Readiness = "readiness"
	Liveness  = "liveness"
	Startup   = "startup"
)

// Poll is one question to a replica's health endpoint, sent directly to it.
// The entry's On is the replica, its At the sending.
type Poll struct {
	Endpoint string        `json:"endpoint"`       // readiness, liveness or startup
	Code     int           `json:"code,omitempty"` // zero: no answer
	Took     time.Duration `json:"took"`
	Err      string        `json:"err,omitempty"` // one of the Err constants
}

// Kind is "poll".
func (Poll) Kind() string { return "poll" }

// Sample is one series of a scrape.
type Sample struct {
	// Name is the sample's name, with _bucket, _sum or _count for histograms
	// and summaries.
	Name   string            `json:"n"`
	Labels map[string]string `json:"l,omitempty"`
	Type   string            `json:"y,omitempty"` // counter, gauge, histogram, summary, untyped: the family's
	Value  float64           `json:"v"`
}

// Scrape is one answer of a replica's metrics endpoint. The entry's On is the
// replica. To keep journals small it holds only the samples that are new or
// have changed since the replica's scrape before it (by Name and Labels);
// [Metrics] puts them together.
type Scrape struct {
	Changed []Sample      `json:"changed,omitempty"`
	Series  int           `json:"series"` // how many the answer held in all
	Took    time.Duration `json:"took"`
	Err     string        `json:"err,omitempty"`
	// Fresh says that this scrape is complete: the first one, or the first
	// after a restart, so that whatever was known before is forgotten.
	Fresh bool `json:"fresh,omitempty"`
}

// Kind is "scrape".
func (Scrape) Kind() string { return "scrape" }

// ProcessSample is what the operating system says of a replica's process. The
// entry's On is the replica.
type ProcessSample struct {
	CPU      time.Duration `json:"cpu"` // user and system time so far
	RSSBytes int64         `json:"rss_bytes"`
	FDs      int           `json:"fds"`
	Threads  int           `json:"threads"`
}

// Kind is "process".
func (ProcessSample) Kind() string { return "process" }

// Started says that a replica's process was started. The entry's On is the
// replica.
type Started struct {
	PID   int `json:"pid"`
	Start int `json:"start"` // how many times it has been started, from 1
	// Version of the service that it runs: next, current or empty for the
	// current one.
	Version string `json:"version,omitempty"`
}

// Kind is "started".
func (Started) Kind() string { return "started" }

// Exited says that a replica's process ended. The entry's On is the replica.
type Exited struct {
	PID    int    `json:"pid"`
	Code   int    `json:"code"`             // −1 when a signal ended it
	Signal string `json:"signal,omitempty"` // "killed", "terminated"
	// Asked is the signal that seatrial had sent last, empty when it ended by
	// itself.
	Asked string `json:"asked,omitempty"`
}

// Kind is "exited".
func (Exited) Kind() string { return "exited" }

// Signalled says that seatrial sent a signal to a replica or a dependency's
// process. The entry's On is its name.
type Signalled struct {
	Signal string `json:"signal"` // "SIGTERM"
}

// Kind is "signalled".
func (Signalled) Kind() string { return "signalled" }

// Endpoint says that the balancer began or ceased to send new connections to a
// replica. The entry's On is the replica.
type Endpoint struct {
	In     bool   `json:"in"`
	Reason string `json:"reason,omitempty"` // "ready", "2 readiness failures", "drained"
}

// Kind is "endpoint".
func (Endpoint) Kind() string { return "endpoint" }

// LogLine is one line a replica or dependency printed, bounded in length and
// freed of secrets. The entry's On is its source.
type LogLine struct {
	Stream string `json:"stream"` // stdout or stderr
	Text   string `json:"text"`
	Cut    bool   `json:"cut,omitempty"` // the line was longer
	// Lost is how many lines before this one were not taken down because there
	// were too many.
	Lost int `json:"lost,omitempty"`
}

// Kind is "log".
func (LogLine) Kind() string { return "log" }

var (
	_ = register[Poll]()
	_ = register[Scrape]()
	_ = register[ProcessSample]()
	_ = register[Started]()
	_ = register[Exited]()
	_ = register[Signalled]()
	_ = register[Endpoint]()
	_ = register[LogLine]()
)
