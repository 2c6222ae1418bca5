package journal

import "time"

// Promises are the numbers that the service's owner commits to. Every one has
// a safe default ([DefaultPromises]); a report says which were defaults.
// In files durations are written like 250ms or 2s, ratios between 0 and 1.
type Promises struct {
	// AnswersWithin is the longest a caller waits for an answer of any kind,
	// also while a dependency hangs. Default 5s.
	AnswersWithin time.Duration `json:"answers_within" yaml:"answers_within"`
	// SLOLatency is the p99 of successful answers in the steady state.
	// Default 1s.
	SLOLatency time.Duration `json:"slo_latency" yaml:"slo_latency"`
	// SuccessRatio is the share of good answers in the steady state.
	// Default 0.995.
	SuccessRatio float64 `json:"success_ratio" yaml:"success_ratio"`
	// CancelsWithin is how soon work for a caller who hung up is given up.
	// Default 500ms.
	CancelsWithin time.Duration `json:"cancels_within" yaml:"cancels_within"`
	// MaxAttempts bounds the attempts of one logical call to a dependency, the
	// first included. Default 4.
	MaxAttempts int `json:"max_attempts" yaml:"max_attempts"`
	// RecoversWithin is how soon after a fault is taken back the steady state
	// holds again. Default 30s.
	RecoversWithin time.Duration `json:"recovers_within" yaml:"recovers_within"`
	// ShedsWithin is the p99 of refusals under overload. Default 250ms.
	ShedsWithin time.Duration `json:"sheds_within" yaml:"sheds_within"`
	// MaxOpenConnections bounds one replica's connections to its database.
	// Zero, the default, means that the owner has not said.
	MaxOpenConnections int `json:"max_open_connections" yaml:"max_open_connections"`
	// ConnectionLifetime is the age at which a connection to a database is
	// replaced. Zero, the default, means that the owner has not said.
	ConnectionLifetime time.Duration `json:"connection_lifetime,omitempty" yaml:"connection_lifetime"`
	// MaxConcurrent is one replica's own limit on requests in flight. Zero,
	// the default, means that the owner has not said.
	MaxConcurrent int `json:"max_concurrent" yaml:"max_concurrent"`
	// UnreadyWithin is how soon after the stop signal readiness fails.
	// Default 1s.
	UnreadyWithin time.Duration `json:"unready_within" yaml:"unready_within"`
	// DrainsWithin is how long a replica may take from the stop signal to its
	// exit, requests in flight included. Default 30s less 2s, Kubernetes'
	// grace period with a margin.
	DrainsWithin time.Duration `json:"drains_within" yaml:"drains_within"`
	// Drain says how a replica leaves: "self" (it stays open for DrainDelay
	// after readiness fails), "prestop" (the platform deregisters it and waits
	// DrainDelay before the signal) or "" (not said: lost requests and a late
	// exit are still violations).
	Drain string `json:"drain" yaml:"drain"`
	// DrainDelay is how long new connections are still served while draining.
	// Default 2s; used only where Drain is set.
	DrainDelay time.Duration `json:"drain_delay" yaml:"drain_delay"`
	// BodyLimitBytes is the largest request body accepted. Default 1 MiB.
	BodyLimitBytes int64 `json:"body_limit_bytes" yaml:"body_limit_bytes"`
	// ReadsHeadWithin is how long a connection stays open on which no request
	// comes, or one whose head does not come to an end. Default 60s.
	ReadsHeadWithin time.Duration `json:"reads_head_within" yaml:"reads_head_within"`
	// ReadsWithin is how long a caller may take to send a whole request, body
	// included. Default 60s.
	ReadsWithin time.Duration `json:"reads_within" yaml:"reads_within"`
	// WritesWithin is how long, from its request on, a caller may take to read
	// an answer. Default 60s.
	WritesWithin time.Duration `json:"writes_within" yaml:"writes_within"`
	// IdlesWithin is how long a connection stays open between two requests.
	// Default 60s.
	IdlesWithin time.Duration `json:"idles_within" yaml:"idles_within"`
	// RateLimit is how many requests a second one replica takes of one caller.
	// Zero, the default, means that the owner has not said.
	RateLimit int `json:"rate_limit" yaml:"rate_limit"`
	// RateBurst is how many of them it takes at once, beyond the rate. Zero, the
	// default, stands for what comes in one second.
	RateBurst int `json:"rate_burst" yaml:"rate_burst"`
}

// DefaultPromises are the promises held against a service whose owner stated
// none. Their sources are the thresholds of the detectors that use them.
func DefaultPromises() Promises {
	return Promises{
		AnswersWithin:  5 * time.Second,
		SLOLatency:     time.Second,
		SuccessRatio:   0.995,
		CancelsWithin:  500 * time.Millisecond,
		MaxAttempts:    4,
		RecoversWithin: 30 * time.Second,
		ShedsWithin:    250 * time.Millisecond,
		UnreadyWithin:  time.Second,
		DrainsWithin:   28 * time.Second,
		DrainDelay:     2 * time.Second,
		BodyLimitBytes: 1 << 20,

		ReadsHeadWithin: time.Minute,
		ReadsWithin:     time.Minute,
		WritesWithin:    time.Minute,
		IdlesWithin:     time.Minute,
	}
}
