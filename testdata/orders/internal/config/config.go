// Package config reads the service's configuration from its environment and
// refuses to go on with a wrong one.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"
)

// Service is the configuration of "orders serve".
type Service struct {
	HTTPAddr    string // where the API listens
	AdminAddr   string // where metrics, health and profiles listen
	Environment string // development, staging, production
	Replica     string // this copy's name
	DatabaseURL Secret
	RedisAddr   string
	PaymentsURL string
	Clients     []Client // who may call /v1, and how often

	MaxConcurrent  int           // requests being worked on at a time
	Pool           string        // of connections to the database: [PoolSQL], [PoolPgx] or [PoolPQ]
	MaxOpenConns   int           // connections to the database
	ConnLifetime   time.Duration // age at which a connection is replaced
	RequestTimeout time.Duration // from the first byte of work to the answer
	DrainDelay     time.Duration // from failing readiness to closing the listener
	DrainTimeout   time.Duration // from closing the listener to cutting what is left
	Drills         bool          // whether there are routes that fail on purpose; never in production
}

// What keeps the connections to the database.
const (
	PoolSQL = "sql"     // database/sql, with pgx as its driver
	PoolPgx = "pgxpool" // pgx's own
	PoolPQ  = "libpq"   // database/sql, with lib/pq as its driver
)

// Migration is the configuration of "orders migrate".
type Migration struct {
	Environment string
	DatabaseURL Secret // of the owner of the tables
	ServiceRole string // the role that "orders serve" uses
}

// Reconciliation is the configuration of "orders reconcile".
type Reconciliation struct {
	Environment string
	DatabaseURL Secret
	PaymentsURL string
	Age         time.Duration // how long an order may be pending
	Limit       int           // orders at a time
}

// Reconcile reads the configuration of "orders reconcile".
func Reconcile(lookup Lookup) (Reconciliation, error) {
	r := reader{lookup: lookup}
	cfg := Reconciliation{
		Environment: r.environment(),
		DatabaseURL: Secret(r.url("ORDERS_DATABASE_URL", "postgres", "postgresql")),
		PaymentsURL: r.url("ORDERS_PAYMENTS_URL", "http", "https"),
		Age:         r.duration("ORDERS_RECONCILE_AGE", 15*time.Minute, 11*time.Minute, 24*time.Hour),
		Limit:       r.number("ORDERS_RECONCILE_LIMIT", 100, 1, 10_000),
	}
	return cfg, r.err()
}

// Secret is a string that does not show itself when it is printed.
type Secret string

// String hides the value.
func (Secret) String() string { return "[hidden]" }

// GoString hides the value.
func (Secret) GoString() string { return "[hidden]" }

// MarshalText hides the value, for logs and JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte("[hidden]"), nil }

// Reveal returns the value.
func (s Secret) Reveal() string { return string(s) }

// Lookup is how a variable is found, as [os.LookupEnv] does.
type Lookup func(name string) (string, bool)

// Serve reads the configuration of "orders serve". The error names every
// variable that is wrong, never its value.
func Serve(lookup Lookup) (Service, error) {
	r := reader{lookup: lookup}
	cfg := Service{
		HTTPAddr:       r.text("ORDERS_HTTP_ADDR", "127.0.0.1:8080"),
		AdminAddr:      r.text("ORDERS_ADMIN_ADDR", "127.0.0.1:8081"),
		Environment:    r.environment(),
		Replica:        r.text("ORDERS_REPLICA", hostname()),
		DatabaseURL:    Secret(r.url("ORDERS_DATABASE_URL", "postgres", "postgresql")),
		RedisAddr:      r.text("ORDERS_REDIS_ADDR", ""),
		PaymentsURL:    r.url("ORDERS_PAYMENTS_URL", "http", "https"),
		Clients:        r.clients("ORDERS_API_TOKEN"),
		MaxConcurrent:  r.number("ORDERS_MAX_CONCURRENT", 20, 1, 1000),
		Pool:           r.choice("ORDERS_DB_POOL", PoolSQL, PoolPgx, PoolPQ),
		MaxOpenConns:   r.number("ORDERS_DB_MAX_OPEN", 10, 1, 100),
		ConnLifetime:   r.duration("ORDERS_DB_CONN_LIFETIME", 10*time.Minute, time.Second, 24*time.Hour),
		RequestTimeout: r.duration("ORDERS_REQUEST_TIMEOUT", 2*time.Second, 100*time.Millisecond, time.Minute),
		DrainDelay:     r.duration("ORDERS_DRAIN_DELAY", 2500*time.Millisecond, 0, time.Minute),
		DrainTimeout:   r.duration("ORDERS_DRAIN_TIMEOUT", 5*time.Second, 100*time.Millisecond, time.Minute),
		Drills:         r.choice("ORDERS_DRILLS", "off", "on") == "on",
	}
	if cfg.Drills && cfg.Environment == "production" {
		r.fail("ORDERS_DRILLS", "off in production")
	}
	return cfg, r.err()
}

// Migrate reads the configuration of "orders migrate".
func Migrate(lookup Lookup) (Migration, error) {
	r := reader{lookup: lookup}
	cfg := Migration{
		Environment: r.environment(),
		DatabaseURL: Secret(r.url("ORDERS_OWNER_DATABASE_URL", "postgres", "postgresql")),
		ServiceRole: r.text("ORDERS_SERVICE_ROLE", ""),
	}
	return cfg, r.err()
}

// reader collects what is wrong instead of stopping at the first.
type reader struct {
	lookup Lookup
	errs   []error
}

func (r *reader) err() error {
	if err := errors.Join(r.errs...); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}

func (r *reader) fail(name, want string) {
	r.errs = append(r.errs, fmt.Errorf("%s: want %s", name, want))
}

// text returns a variable. One without a fallback is required; one that is set
// to nothing is wrong.
func (r *reader) text(name, fallback string) string {
	value, set := r.lookup(name)
	if !set {
		value = fallback
	}
	if value == "" {
		r.fail(name, "a value")
	}
	return value
}

func (r *reader) environment() string {
	return r.choice("ORDERS_ENVIRONMENT", "development", "staging", "production")
}

// choice returns a variable that has one of some values; the first is the
// fallback.
func (r *reader) choice(name string, choices ...string) string {
	value := r.text(name, choices[0])
	if !slices.Contains(choices, value) {
		r.fail(name, fmt.Sprintf("one of %v", choices))
	}
	return value
}

func (r *reader) url(name string, schemes ...string) string {
	value := r.text(name, "")
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	if err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme) {
		return value
	}
	r.fail(name, fmt.Sprintf("a URL with a host and one of the schemes %v", schemes))
	return ""
}

func (r *reader) number(name string, fallback, low, high int) int {
	n, err := strconv.Atoi(r.text(name, strconv.Itoa(fallback)))
	if err != nil || n < low || n > high {
		r.fail(name, fmt.Sprintf("a whole number from %d to %d", low, high))
	}
	return n
}

func (r *reader) duration(name string, fallback, low, high time.Duration) time.Duration {
	d, err := time.ParseDuration(r.text(name, fallback.String()))
	if err != nil || d < low || d > high {
		r.fail(name, fmt.Sprintf("a duration from %v to %v, such as %v", low, high, fallback))
	}
	return d
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "orders"
	}
	return name
}
