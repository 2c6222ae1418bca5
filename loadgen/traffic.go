package loadgen

import "time"

// Traffic is the ordinary traffic of a service: what its callers ask for, and
// in which proportions. It is the traffic section of a subject file.
type Traffic struct {
	// Rate is the ordinary rate in requests a second. Default 50.
	Rate float64 `yaml:"rate" json:"rate,omitempty"`
	// Timeout is how long our client waits for an answer. Default: the promise
	// answers_within plus 1 s, twice that at most.
	Timeout time.Duration `yaml:"timeout" json:"timeout,omitempty"`
	// Port is the service's port that takes the traffic. Default "http".
	Port string `yaml:"port" json:"port,omitempty"`
	// Headers are sent with every request, also those of the setup. Values may
	// refer to the environment or a file: ${env.TOKEN}, ${file.token.txt};
	// such values are secret and never written out. They are templates too:
	// Authorization: Bearer {{pick "token"}}; a request of the setup that comes
	// before the capture goes without such a header.
	Headers map[string]string `yaml:"headers" json:"headers,omitempty"`
	// RequestID is the header in which each request's id is sent. Default
	// X-Request-Id. What the service passes on in calls to an http dependency is
	// named there.
	RequestID string `yaml:"request_id" json:"request_id,omitempty"`
	// Trace is the format of the headers in which each request begins a trace, by
	// its name in OTEL_PROPAGATORS: tracecontext (the W3C traceparent), b3 (in one
	// header), b3multi (X-B3-TraceId) or jaeger (uber-trace-id). In calls to an http
	// dependency all of them are read. Default tracecontext.
	Trace string `yaml:"trace" json:"trace,omitempty"`
	// Setup is done once, in order, before any load: log in, seed.
	Setup []Request `yaml:"setup" json:"setup,omitempty"`
	// Requests are drawn by weight.
	Requests []Request `yaml:"requests" json:"requests"`
	// Callers are those whom the service's rate limit tells apart.
	Callers *Callers `yaml:"callers" json:"callers,omitempty"`
	// Ledger says where acknowledged writes are found again.
	Ledger *Ledger `yaml:"ledger" json:"ledger,omitempty"`
	// Register is a kind of thing that is written and read as a whole. It is no
	// part of the load: the operation registers writes and reads some of them.
	Register *Register `yaml:"register" json:"register,omitempty"`
}

// Request is one kind of request. Path, headers and body are Go templates with
// the functions of gofakeit and these: seq (the hit's number), uuid (drawn from
// the seed), pick "name" (a value captured under that name, drawn from the seed
// among the latest), and the variables of vars.
type Request struct {
	// Name is how findings, reports and the journal call it. Required, unique.
	Name string `yaml:"name" json:"name"`
	// Weight is its share relative to the others. Default 1. One of 0 is left
	// out of the load.
	Weight float64 `yaml:"weight" json:"weight,omitempty"`
	// Method defaults to GET.
	Method string `yaml:"method" json:"method,omitempty"`
	// Path is a template of the path and the query: /v1/orders/{{pick "id"}}.
	Path string `yaml:"path" json:"path"`
	// Headers are templates of headers beside the traffic's, and stand over
	// those. Default: none.
	Headers map[string]string `yaml:"headers" json:"headers,omitempty"`
	// Body is a template of the body. Default: none is sent.
	Body string `yaml:"body" json:"body,omitempty"`
	// Vars are templates evaluated once for each hit, before the rest, so that
	// a header and a body can share a value: {{.key}}.
	Vars map[string]string `yaml:"vars" json:"vars,omitempty"`
	// Capture takes values from a JSON answer by JSONPath for later requests:
	// {id: $.id}. A request that picks from an empty capture is replaced by
	// one that needs none.
	Capture map[string]string `yaml:"capture" json:"capture,omitempty"`
	// Success lists what counts as a success: statuses ("201") or classes
	// ("2xx"). Default 2xx and 3xx.
	Success []string `yaml:"success" json:"success,omitempty"`
	// Retryable says that the request may be repeated without harm. Default:
	// true for GET, HEAD, OPTIONS, PUT and DELETE.
	Retryable *bool `yaml:"retryable" json:"retryable,omitempty"`
	// Uses names the dependencies that the answer needs. Empty: not said.
	Uses []string `yaml:"uses" json:"uses,omitempty"`
	// UnreadBody says that the handler answers without reading the body.
	UnreadBody bool `yaml:"unread_body" json:"unread_body,omitempty"`
	// Large says that its answers have 8 MiB or more, so that no buffer holds
	// one: slow readers ask for it. With a weight of 0 nobody else does.
	Large bool `yaml:"large" json:"large,omitempty"`
	// Panics says that its handler panics on purpose, best while it holds a
	// database connection: a route for drills. With a weight of 0 it is asked for
	// where that is tried, and nowhere else.
	Panics bool `yaml:"panics" json:"panics,omitempty"`
	// Write has the ledger remember this request's acknowledged effects.
	Write *WriteRule `yaml:"write" json:"write,omitempty"`
}

// Callers are two or more for each of whom the promised rate limit holds, and
// what they are known by.
type Callers struct {
	// Header is the request header by which the limit knows a caller:
	// Authorization, X-Api-Key.
	Header string `yaml:"header" json:"header"`
	// Values are what it holds, one for each caller, in place of the traffic's
	// own. They may refer to the environment or a file, as headers do.
	Values []string `yaml:"values" json:"values"`
}

// WriteRule says how a write is found again.
type WriteRule struct {
	// Key is a template whose value is unique to the logical write and stored
	// with it, such as {{.key}}.
	Key string `yaml:"key" json:"key"`
	// ID is the JSONPath of what the answer calls it, such as $.id. Optional.
	ID string `yaml:"id" json:"id,omitempty"`
	// Value is a template of something that must be stored as it was sent, such
	// as a name or an amount. Optional; only a hash of it is kept.
	Value string `yaml:"value" json:"value,omitempty"`
}

// Ledger says how stored writes are read after a run: by a query on a database,
// past its proxy, or where that cannot be had by the service's own read route.
type Ledger struct {
	// Dependency is the postgres dependency that is asked.
	Dependency string `yaml:"dependency" json:"dependency,omitempty"`
	// Query returns one row a stored write: its key, and optionally its id and
	// its value.
	Query string `yaml:"query" json:"query,omitempty"`
	// Read asks the service for one write after the other, in place of
	// dependency and query.
	Read *ReadRoute `yaml:"read" json:"read,omitempty"`
	// Within is how long an acknowledged write may take until it is found, for
	// a service that stores it later, such as from an outbox. It is read again
	// until then. Default 0: at once.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
}

// ReadRoute is a request to the service that finds a write again. It is sent
// through the balancer with the traffic's headers; 404 and 410 say that the
// write is not stored.
type ReadRoute struct {
	// Path is a template with .key, the write's key, and .id, what its answer
	// called it: /v1/orders/{{.id}}. With .id only acknowledged writes can be
	// asked for; with .key all of them.
	Path string `yaml:"path" json:"path"`
	// Items is the JSONPath of what the answer lists as stored under the key:
	// $.orders[*]. Empty: the answer is the one thing that is stored.
	Items string `yaml:"items" json:"items,omitempty"`
	// ID is the JSONPath of an item's id, to be held against the write's.
	// Optional.
	ID string `yaml:"id" json:"id,omitempty"`
	// Value is the JSONPath of an item's value, to be held against the write's.
	// Optional.
	Value string `yaml:"value" json:"value,omitempty"`
}

// Register is a kind of thing of which there are many, and of which whoever
// reads one gets what was written last: the note of an order, the address of a
// customer, the price of an article.
type Register struct {
	// Key is a template that names one of them: {{pick "id"}}, or article-{{seq}}
	// where a write makes what is not there.
	Key string `yaml:"key" json:"key"`
	// Value is a template of what is written, another one each time: {{seq}} for
	// a number. Default value-{{uuid}}.
	Value string `yaml:"value" json:"value,omitempty"`
	// Write replaces what is there. Its path and body are templates with .key and
	// .value.
	Write RegisterWrite `yaml:"write" json:"write"`
	// Read returns what was written last.
	Read RegisterRead `yaml:"read" json:"read"`
}

// RegisterWrite is a request that writes a register. Its success says that who
// reads from now on gets this value, or one that was written since.
type RegisterWrite struct {
	// Method defaults to PUT.
	Method string `yaml:"method" json:"method,omitempty"`
	// Path is a template with .key and .value: /articles/{{.key}}.
	Path string `yaml:"path" json:"path"`
	// Body is a template with .key and .value: {"price":{{.value}}}. What is
	// written must be here or in the path. Default: none is sent.
	Body string `yaml:"body" json:"body,omitempty"`
	// Success lists what counts as a success, as in a request. Default 2xx and
	// 3xx.
	Success []string `yaml:"success" json:"success,omitempty"`
}

// RegisterRead is a GET that reads a register; 404 and 410 say that nothing has
// been written to it yet.
type RegisterRead struct {
	// Path is a template with .key: /articles/{{.key}}.
	Path string `yaml:"path" json:"path"`
	// Value is the JSONPath of the value in the answer, such as $.note.
	Value string `yaml:"value" json:"value"`
}
