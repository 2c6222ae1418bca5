package journal

import "time"

// Image is what the image of the service holds, by its configuration and by its
// layers. The entry's On is the service.
type Image struct {
	Name       string   `json:"name"`
	User       string   `json:"user,omitempty"` // as configured; empty: root
	Entrypoint []string `json:"entrypoint,omitempty"`
	Exposed    []int    `json:"exposed,omitempty"`
	Bytes      int64    `json:"bytes"`
	Layers     int      `json:"layers"`
	// Tools are the shells and package managers found in it: "/bin/sh".
	Tools []string `json:"tools,omitempty"`
	// Certificates is the file of the authorities it trusts; empty: none.
	Certificates string `json:"certificates,omitempty"`
	// Secrets were found in its layers or in its configuration.
	Secrets []LayerSecret `json:"secrets,omitempty"`
	// Unread says why its layers were not read to their end.
	Unread string `json:"unread,omitempty"`
	// Err says why it could not be read.
	Err string `json:"err,omitempty"`
}

// LayerSecret is one thing that looks like a secret. What it says is not taken
// down.
type LayerSecret struct {
	Layer int    `json:"layer"` // from 1; zero: the configuration
	Path  string `json:"path,omitempty"`
	What  string `json:"what"` // "a private key"
}

// Kind is "image".
func (Image) Kind() string { return "image" }

// Confined is what one replica did in a container with a root that cannot be
// written, without capabilities and without a way to new ones. The entry's On is
// the service.
type Confined struct {
	// Ready says that it became ready, Took how long that took, Err why it did
	// not.
	Ready bool          `json:"ready"`
	Took  time.Duration `json:"took"`
	Err   string        `json:"err,omitempty"`
	// Seen says that its process could be looked at from here; only then do UID,
	// Program and Listening mean something.
	Seen      bool     `json:"seen"`
	UID       int      `json:"uid"`
	Program   string   `json:"program,omitempty"`   // of its first process
	Listening []string `json:"listening,omitempty"` // address:port, as it sees them
	// Declared are the ports that the subject names.
	Declared []int `json:"declared,omitempty"`
	// Ended says how it took the stop signal: how long it went on, the status,
	// and whether it had to be killed.
	Ended  time.Duration `json:"ended"`
	Grace  time.Duration `json:"grace"`
	Code   int           `json:"code"`
	Killed bool          `json:"killed,omitempty"`
}

// Kind is "confined".
func (Confined) Kind() string { return "confined" }

// Trust is whom one more replica trusted: it was given, in the place of the http
// dependency that the entry's On names, a stub that speaks TLS by a certificate
// of an authority made for that, and it was sent requests that need it.
type Trust struct {
	// Known says that the authority was added to those of the image, in the file
	// Added. Where the image holds no such file, there is nothing to add it to.
	Known bool   `json:"known"`
	Added string `json:"added,omitempty"`
	// Asked is how many requests the replica was sent. Zero: the traffic has none
	// that needs this dependency and nothing of earlier answers.
	Asked int `json:"asked"`
	// Connections is how many the replica opened to the stub, Calls how many
	// requests came through them.
	Connections int `json:"connections"`
	Calls       int `json:"calls"`
	// Err says why it could not be asked.
	Err string `json:"err,omitempty"`
}

// Kind is "trust".
func (Trust) Kind() string { return "trust" }

// Answer is what an endpoint of a replica answered that was asked whether it is
// there. The entry's On is the replica.
type Answer struct {
	Port     string `json:"port"` // the service's name for it
	Path     string `json:"path"`
	Code     int    `json:"code,omitempty"` // zero: no answer
	Location string `json:"location,omitempty"`
	Bytes    int    `json:"bytes"` // of the body, as far as it was read
	Err      string `json:"err,omitempty"`
	// Public says that it is the port of the traffic.
	Public bool `json:"public,omitempty"`
}

// Kind is "answer".
func (Answer) Kind() string { return "answer" }

var (
	_ = register[Image]()
	_ = register[Confined]()
	_ = register[Trust]()
	_ = register[Answer]()
)
