package faults

import (
	"errors"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// window is when the fault of these journals was in force.
var window = journal.Window{From: at(5000), To: at(7000)}

func at(ms int) journal.Instant { return journal.Instant(time.Duration(ms) * time.Millisecond) }

// tale writes a small journal about "db", from 3 s to 9 s.
type tale struct {
	*journal.Memory
	tally journal.Tally
}

// trips records round trips every 100 ms: calm before the window, then other.
func trips(other journal.RoundTrip) func(*tale) {
	return func(s *tale) {
		calm := journal.RoundTrip{Dial: time.Millisecond, RTT: 2 * time.Millisecond, Up: 8, Down: 1, Bytes: 1}
		for ms := 3000; ms < 9000; ms += 100 {
			r := calm
			if window.Contains(at(ms)) {
				r = other
			}
			s.Record(journal.Entry{At: at(ms) + 1, On: "db", Body: r})
		}
	}
}

// traffic records tallies every 100 ms that grow by the service's bytes and
// connections, and by ours; shaped grows in the window only.
func traffic(before, during journal.Tally) func(*tale) {
	return func(s *tale) {
		for ms := 3000; ms < 9000; ms += 100 {
			step := before
			if window.Contains(at(ms)) {
				step = during
			}
			s.tally.UpBytes += step.UpBytes
			s.tally.DownBytes += step.DownBytes
			s.tally.Conns += step.Conns
			s.tally.Shaped += step.Shaped
			s.tally.Open = step.Open
			s.Record(journal.Entry{At: at(ms) + 2, On: "db", Body: s.tally})
		}
	}
}

// ours is what our own round trips add to a tally.
var ours1 = journal.Tally{UpBytes: 8, DownBytes: 1, Conns: 1, Open: 1}

// busy is a service's traffic and ours.
var busy = journal.Tally{UpBytes: 2008, DownBytes: 9001, Conns: 3, Open: 6}

func with(t journal.Tally, shaped uint64) journal.Tally { t.Shaped = shaped; return t }

// samples records pg_stat_activity every 100 ms.
func samples(before, during journal.Activity) func(*tale) {
	return func(s *tale) {
		for ms := 3000; ms < 9000; ms += 100 {
			a := before
			if at(ms) >= window.From {
				a = during
			}
			s.Record(journal.Entry{At: at(ms) + 3, On: "db", Body: a})
		}
	}
}

// calls records a stub's calls every 100 ms in the window.
func calls(c ...journal.Call) func(*tale) {
	return func(s *tale) {
		for i, ms := 0, 5050; ms < 6900; i, ms = i+1, ms+100 {
			s.Record(journal.Entry{At: at(ms), On: "db", Body: c[i%len(c)]})
		}
	}
}

func polls(code int) func(*tale) {
	return func(s *tale) {
		for ms := 3000; ms < 9000; ms += 100 {
			p := journal.Poll{Endpoint: journal.Readiness, Code: 200, Took: time.Millisecond}
			if window.Contains(at(ms)) {
				p.Code = code
			}
			s.Record(journal.Entry{At: at(ms) + 4, On: "r1", Body: p})
		}
	}
}

func requests(s *tale) {
	for ms := 3000; ms < 9000; ms += 100 {
		s.Request(journal.Request{Due: at(ms), Sent: at(ms), Done: at(ms)})
	}
}

func exit(ms int, signal string) func(*tale) {
	return func(s *tale) {
		s.Record(journal.Entry{At: at(ms), On: "r1", Body: journal.Exited{PID: 4, Code: -1, Signal: signal}})
	}
}

func backends(apps ...string) journal.Activity {
	a := journal.Activity{MaxConnections: 20}
	for i, app := range apps {
		a.Backends = append(a.Backends, journal.Backend{PID: 100 + i, App: app})
	}
	return a
}

func many(n int, app string) (apps []string) {
	for range n {
		apps = append(apps, app)
	}
	return apps
}

func waiting() journal.Activity {
	a := backends("orders")
	a.Backends[0].WaitType = "Lock"
	return a
}

var (
	slow    = trips(journal.RoundTrip{Dial: time.Millisecond, RTT: 302 * time.Millisecond, Up: 8, Down: 1, Bytes: 1})
	same    = trips(journal.RoundTrip{Dial: time.Millisecond, RTT: 2 * time.Millisecond, Up: 8, Down: 1, Bytes: 1})
	bareOne = trips(journal.RoundTrip{Dial: time.Millisecond})
	silent  = trips(journal.RoundTrip{Dial: time.Millisecond, RTT: time.Second, Err: journal.ErrTimeout, Up: 8})
	refused = trips(journal.RoundTrip{Dial: time.Millisecond, Err: journal.ErrRefused})
	hanging = trips(journal.RoundTrip{Dial: 400 * time.Millisecond, Err: journal.ErrTimeout})
	gotRST  = trips(journal.RoundTrip{Dial: time.Millisecond, RTT: time.Millisecond, Err: journal.ErrReset, Up: 8})
	load    = traffic(busy, busy)
	noLoad  = traffic(ours1, ours1)
	cutLoad = traffic(busy, journal.Tally{})
	idle    = traffic(ours1, journal.Tally{})
)

func TestWitnesses(t *testing.T) {
	latency := &Latency{Latency: 300 * time.Millisecond, Stream: Downstream}
	tests := map[string]struct {
		fault Fault
		tale  []func(*tale)
		want  error
	}{
		"latency":               {latency, []func(*tale){slow, load}, nil},
		"latency unseen":        {latency, []func(*tale){same, load}, ErrNotInForce},
		"latency unmet":         {latency, []func(*tale){slow, noLoad}, ErrNotExercised},
		"latency, no tally":     {latency, []func(*tale){slow}, ErrNotExercised},
		"latency, nothing":      {latency, nil, ErrNotExercised},
		"latency both":          {&Latency{Latency: 300 * time.Millisecond, Stream: Both}, []func(*tale){slow, load}, ErrNotInForce},
		"latency bare":          {latency, []func(*tale){bareOne, traffic(busy, with(busy, 4))}, nil},
		"latency bare unmet":    {latency, []func(*tale){bareOne, load}, ErrNotExercised},
		"blackhole":             {&Blackhole{}, []func(*tale){silent, load}, nil},
		"blackhole answered":    {&Blackhole{}, []func(*tale){same, load}, ErrNotInForce},
		"blackhole unmet":       {&Blackhole{}, []func(*tale){silent, noLoad}, ErrNotExercised},
		"lost reply":            {&LostReply{}, []func(*tale){silent, load}, nil},
		"lost reply answered":   {&LostReply{}, []func(*tale){slow, load}, ErrNotInForce},
		"outage":                {&Outage{}, []func(*tale){refused, cutLoad}, nil},
		"outage served":         {&Outage{}, []func(*tale){same, load}, ErrNotInForce},
		"outage timed out":      {&Outage{}, []func(*tale){hanging, cutLoad}, ErrNotInForce},
		"outage unseen":         {&Outage{}, []func(*tale){cutLoad}, ErrNotInForce},
		"outage unmet":          {&Outage{}, []func(*tale){refused, idle}, ErrNotExercised},
		"connect blackhole":     {&ConnectBlackhole{}, []func(*tale){hanging, cutLoad}, nil},
		"connect refused":       {&ConnectBlackhole{}, []func(*tale){refused, cutLoad}, ErrNotInForce},
		"connect unmet":         {&ConnectBlackhole{}, []func(*tale){hanging, idle}, ErrNotExercised},
		"reset":                 {&Reset{}, []func(*tale){gotRST, load}, nil},
		"reset answered":        {&Reset{}, []func(*tale){same, load}, ErrNotInForce},
		"reset bare":            {&Reset{}, []func(*tale){bareOne, load}, ErrNotInForce},
		"reset unmet":           {&Reset{}, []func(*tale){gotRST, noLoad}, ErrNotExercised},
		"bandwidth":             {&Bandwidth{KilobytesPerSecond: 9, Stream: Downstream}, []func(*tale){same, traffic(busy, with(busy, 3))}, nil},
		"bandwidth unfelt":      {&Bandwidth{KilobytesPerSecond: 9, Stream: Downstream}, []func(*tale){same, load}, ErrNotExercised},
		"slow close":            {&SlowClose{Delay: 3 * time.Second}, []func(*tale){same, traffic(busy, with(busy, 5))}, nil},
		"slow close ours":       {&SlowClose{Delay: 3 * time.Second}, []func(*tale){same, traffic(busy, with(busy, 1))}, ErrNotExercised},
		"slow close not there":  {&SlowClose{Delay: 3 * time.Second}, []func(*tale){same, load}, ErrNotInForce},
		"slicer":                {&Slicer{SliceBytes: 4}, []func(*tale){same, traffic(busy, with(busy, 5))}, nil},
		"slicer ours":           {&Slicer{SliceBytes: 4}, []func(*tale){same, traffic(busy, with(busy, 1))}, ErrNotExercised},
		"limit":                 {&LimitData{Bytes: 1024}, []func(*tale){same, traffic(busy, with(busy, 1))}, nil},
		"limit ours":            {&LimitData{Bytes: 4}, []func(*tale){same, traffic(busy, with(busy, 1))}, ErrNotExercised},
		"limit unmet":           {&LimitData{Bytes: 1024}, []func(*tale){same, load}, ErrNotExercised},
		"status":                {&Status{Code: 503}, []func(*tale){calls(journal.Call{Fault: "status", Status: 503})}, nil},
		"status, other":         {&Status{Code: 503}, []func(*tale){calls(journal.Call{Fault: "status", Status: 500})}, ErrNotInForce},
		"status, none":          {&Status{Code: 503}, []func(*tale){calls(journal.Call{Status: 200})}, ErrNotInForce},
		"status, half":          {&Status{Code: 503}, []func(*tale){calls(journal.Call{Fault: "status", Status: 503}, journal.Call{Status: 200})}, ErrNotInForce},
		"status, half is right": {&Status{Code: 503, Calls: Calls{Ratio: 0.5}}, []func(*tale){calls(journal.Call{Fault: "status", Status: 503}, journal.Call{Status: 200})}, nil},
		"status, rarely drawn":  {&Status{Code: 503, Calls: Calls{Ratio: 0.01}}, []func(*tale){calls(journal.Call{Status: 200})}, ErrNotExercised},
		"status, no call":       {&Status{Code: 503}, nil, ErrNotExercised},
		"status, other route":   {&Status{Code: 503, Calls: Calls{Route: "a"}}, []func(*tale){calls(journal.Call{Route: "b", Status: 200})}, ErrNotExercised},
		"slow answer":           {&SlowAnswer{Delay: time.Second}, []func(*tale){calls(journal.Call{Fault: "slow_answer", Answered: time.Second})}, nil},
		"slow answer, soon":     {&SlowAnswer{Delay: time.Second}, []func(*tale){calls(journal.Call{Fault: "slow_answer", Answered: time.Millisecond})}, ErrNotInForce},
		"hang":                  {&Hang{}, []func(*tale){calls(journal.Call{Fault: "hang", HungUp: true, HungUpAfter: 5})}, nil},
		"hang, answered":        {&Hang{}, []func(*tale){calls(journal.Call{Fault: "hang", Status: 200, Answered: 5})}, ErrNotInForce},
		"stalled":               {&StalledBody{}, []func(*tale){calls(journal.Call{Fault: "stalled_body", Status: 200, HungUp: true})}, nil},
		"stalled, ended":        {&StalledBody{}, []func(*tale){calls(journal.Call{Fault: "stalled_body", Status: 200, Answered: 5})}, ErrNotInForce},
		"malformed":             {&MalformedBody{}, []func(*tale){calls(journal.Call{Fault: "malformed_body", Status: 200, Answered: 5})}, nil},
		"malformed, refused":    {&MalformedBody{}, []func(*tale){calls(journal.Call{Fault: "malformed_body", Status: 500, Answered: 5})}, ErrNotInForce},
		"lock":                  {&TableLock{}, []func(*tale){samples(backends("orders"), waiting())}, nil},
		"lock unseen":           {&TableLock{}, []func(*tale){load}, ErrNotInForce},
		"lock, none waits":      {&TableLock{}, []func(*tale){load, samples(backends("orders"), backends("orders"))}, ErrNotInForce},
		"lock, no traffic":      {&TableLock{}, []func(*tale){samples(backends("orders"), backends("orders"))}, ErrNotExercised},
		"lock, other tables":    {&TableLock{Tables: []string{"x"}}, []func(*tale){load, samples(backends("orders"), backends("orders"))}, ErrNotExercised},
		"flood":                 {&ConnectionFlood{}, []func(*tale){load, samples(backends("orders"), backends(many(15, "seatrial-r1")...))}, nil},
		"flood, too few":        {&ConnectionFlood{}, []func(*tale){load, samples(backends("orders"), backends(many(9, "seatrial-r1")...))}, ErrNotInForce},
		"flood of 9":            {&ConnectionFlood{Connections: 9}, []func(*tale){load, samples(backends("orders"), backends(many(9, "seatrial-r1")...))}, nil},
		"flood of 10":           {&ConnectionFlood{Connections: 10}, []func(*tale){load, samples(backends("orders"), backends(many(9, "seatrial-r1")...))}, ErrNotInForce},
		"flood, no new":         {&ConnectionFlood{}, []func(*tale){samples(backends("orders"), backends(many(15, "seatrial-r1")...))}, ErrNotExercised},
		"terminate backends":    {&TerminateBackends{}, []func(*tale){samples(backends("orders"), backends())}, nil},
		"backends lived on":     {&TerminateBackends{}, []func(*tale){samples(backends("orders"), backends("orders"))}, ErrNotInForce},
		"no backends":           {&TerminateBackends{}, []func(*tale){samples(backends(), backends())}, ErrNotExercised},
		"backends unseen":       {&TerminateBackends{}, nil, ErrNotInForce},
		"pause db":              {&Pause{}, []func(*tale){silent, load}, nil},
		"pause db answered":     {&Pause{}, []func(*tale){same, load}, ErrNotInForce},
		"kill db":               {&Kill{}, []func(*tale){refused, cutLoad}, nil},
		"kill db answered":      {&Kill{}, []func(*tale){same, load}, ErrNotInForce},
		"restart db":            {&Restart{}, []func(*tale){refused, cutLoad}, nil},
		"restart db, untouched": {&Restart{}, []func(*tale){same, load}, ErrNotInForce},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { tell(t, tt.fault, "db", tt.tale, tt.want) })
	}
}

func TestWitnessesOfReplicas(t *testing.T) {
	tests := map[string]struct {
		fault Fault
		tale  []func(*tale)
		want  error
	}{
		"pause":             {&Pause{}, []func(*tale){polls(0), requests}, nil},
		"pause answered":    {&Pause{}, []func(*tale){polls(200), requests}, ErrNotInForce},
		"pause unseen":      {&Pause{}, []func(*tale){requests}, ErrNotInForce},
		"pause idle":        {&Pause{}, []func(*tale){polls(0)}, ErrNotExercised},
		"kill":              {&Kill{}, []func(*tale){exit(4990, "killed"), requests}, nil},
		"kill, otherwise":   {&Kill{}, []func(*tale){exit(4990, "terminated"), requests}, ErrNotInForce},
		"kill, none":        {&Kill{}, []func(*tale){requests}, ErrNotInForce},
		"kill idle":         {&Kill{}, []func(*tale){exit(4990, "killed")}, ErrNotExercised},
		"terminate":         {&Terminate{}, []func(*tale){exit(5500, ""), requests}, nil},
		"terminate unready": {&Terminate{}, []func(*tale){polls(503), requests}, nil},
		"terminate ignored": {&Terminate{}, []func(*tale){polls(200), requests}, ErrNotInForce},
		"restart":           {&Restart{}, []func(*tale){exit(5500, ""), requests}, nil},
		"restart ignored":   {&Restart{}, []func(*tale){polls(200), requests}, ErrNotInForce},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { tell(t, tt.fault, "r1", tt.tale, tt.want) })
	}
}

func tell(t *testing.T, f Fault, target string, parts []func(*tale), want error) {
	t.Helper()
	s := &tale{Memory: journal.NewMemory(journal.Header{Replicas: []string{"r1"}})}
	for _, part := range parts {
		part(s)
	}
	err := f.Witness(s, target, window)
	t.Log(err)
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("got %v, want %v", err, want)
	}
}
