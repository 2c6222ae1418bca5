package faults

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// window is when the fault of these journals was in force.
var window = journal.Window{From: at(5000), To: at(7000)}

// ours is what our own round trips add to a tally.
var ours1 = journal.Tally{UpBytes: 8, DownBytes: 1, Conns: 1, Open: 1}

// busy is a service's traffic and ours.
var busy = journal.Tally{UpBytes: 2008, DownBytes: 9001, Conns: 3, Open: 6}

// What an engine says of a container every 250 ms: its figures, or their growth.
var (
	free    = journal.Usage{Bytes: 20e6, LimitBytes: 8e9}
	watched = journal.Usage{Periods: 2, Bytes: 20e6, LimitBytes: 8e9}
	held    = journal.Usage{Periods: 2, Throttled: 1, Bytes: 20e6, LimitBytes: 8e9}
	wide    = journal.Usage{Bytes: 20e6, LimitBytes: 40e6}
	tight   = journal.Usage{Bytes: 20e6, LimitBytes: 21e6}
	killed  = journal.Usage{OutOfMemory: true, Ended: true}
)

var slowly = &PacketDelay{Delay: 50 * time.Millisecond}

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
	answer := &Latency{Answer: 900 * time.Millisecond, Stream: Downstream}
	figured := func(ms int, seconds float64) func(*tale) {
		return func(s *tale) {
			s.Record(journal.Entry{At: at(ms), On: "slow", Body: journal.Measured{Quantity: journal.Quantity{
				Name: QuantityInjectedLatency, Value: seconds,
			}}})
		}
	}
	tests := map[string]struct {
		fault Fault
		tale  parts
		want  error
	}{
		"latency":                        {latency, parts{slow, load}, nil},
		"latency unseen":                 {latency, parts{same, load}, ErrNotInForce},
		"latency unmet":                  {latency, parts{slow, noLoad}, ErrNotExercised},
		"latency, no tally":              {latency, parts{slow}, ErrNotExercised},
		"latency, nothing":               {latency, nil, ErrNotExercised},
		"latency measured":               {answer, parts{slow, load, figured(4990, 0.3)}, nil},
		"latency measured, not seen":     {answer, parts{same, load, figured(4990, 0.3)}, ErrNotInForce},
		"latency measured, other later":  {answer, parts{slow, load, figured(4990, 0.3), figured(8000, 3)}, nil},
		"latency measured, not recorded": {answer, parts{slow, load}, ErrNotInForce},
		"latency both": {
			&Latency{Latency: 300 * time.Millisecond, Stream: Both},
			parts{slow, load},
			ErrNotInForce,
		},
		"latency longer than the window": {
			&Latency{Latency: 2500 * time.Millisecond, Stream: Downstream},
			parts{trips(journal.RoundTrip{RTT: 2500 * time.Millisecond, Down: 1}), load},
			nil,
		},
		"latency bare":        {latency, parts{bareOne, traffic(busy, with(busy, 4))}, nil},
		"latency bare unmet":  {latency, parts{bareOne, load}, ErrNotExercised},
		"blackhole":           {&Blackhole{}, parts{silent, load}, nil},
		"blackhole answered":  {&Blackhole{}, parts{same, load}, ErrNotInForce},
		"blackhole unmet":     {&Blackhole{}, parts{silent, noLoad}, ErrNotExercised},
		"lost reply":          {&LostReply{}, parts{silent, load}, nil},
		"lost reply answered": {&LostReply{}, parts{slow, load}, ErrNotInForce},
		"outage":              {&Outage{}, parts{refused, cutLoad}, nil},
		"outage served":       {&Outage{}, parts{same, load}, ErrNotInForce},
		"outage timed out":    {&Outage{}, parts{hanging, cutLoad}, ErrNotInForce},
		"outage unseen":       {&Outage{}, parts{cutLoad}, ErrNotInForce},
		"outage unmet":        {&Outage{}, parts{refused, idle}, ErrNotExercised},
		"connect blackhole":   {&ConnectBlackhole{}, parts{hanging, cutLoad}, nil},
		"connect refused":     {&ConnectBlackhole{}, parts{refused, cutLoad}, ErrNotInForce},
		"connect unmet":       {&ConnectBlackhole{}, parts{hanging, idle}, ErrNotExercised},
		"reset":               {&Reset{}, parts{gotRST, load}, nil},
		"reset answered":      {&Reset{}, parts{same, load}, ErrNotInForce},
		"reset bare":          {&Reset{}, parts{bareOne, load}, ErrNotInForce},
		"reset unmet":         {&Reset{}, parts{gotRST, noLoad}, ErrNotExercised},
		"bandwidth": {
			&Bandwidth{KilobytesPerSecond: 9, Stream: Downstream},
			parts{same, traffic(busy, with(busy, 3))},
			nil,
		},
		"bandwidth unfelt": {
			&Bandwidth{KilobytesPerSecond: 9, Stream: Downstream},
			parts{same, load},
			ErrNotExercised,
		},
		"slow close": {
			&SlowClose{Delay: 3 * time.Second},
			parts{same, traffic(busy, with(busy, 5))},
			nil,
		},
		"slow close ours": {
			&SlowClose{Delay: 3 * time.Second},
			parts{same, traffic(busy, with(busy, 1))},
			ErrNotExercised,
		},
		"slow close not there": {
			&SlowClose{Delay: 3 * time.Second},
			parts{same, load},
			ErrNotInForce,
		},
		"slicer": {
			&Slicer{SliceBytes: 4},
			parts{same, traffic(busy, with(busy, 5))},
			nil,
		},
		"slicer ours": {
			&Slicer{SliceBytes: 4},
			parts{same, traffic(busy, with(busy, 1))},
			ErrNotExercised,
		},
		"limit": {
			&LimitData{Bytes: 1024},
			parts{same, traffic(busy, with(busy, 1))},
			nil,
		},
		"limit ours": {
			&LimitData{Bytes: 4},
			parts{same, traffic(busy, with(busy, 1))},
			ErrNotExercised,
		},
		"limit unmet": {&LimitData{Bytes: 1024}, parts{same, load}, ErrNotExercised},
		"status": {
			&Status{Code: 503},
			parts{calls(journal.Call{Fault: "status", Status: 503})},
			nil,
		},
		"status, other": {
			&Status{Code: 503},
			parts{calls(journal.Call{Fault: "status", Status: 500})},
			ErrNotInForce,
		},
		"status, none": {
			&Status{Code: 503},
			parts{calls(journal.Call{Status: 200})},
			ErrNotInForce,
		},
		"status, half": {
			&Status{Code: 503},
			parts{calls(journal.Call{Fault: "status", Status: 503}, journal.Call{Status: 200})},
			ErrNotInForce,
		},
		"status, half is right": {
			&Status{Code: 503, Calls: Calls{Ratio: 0.5}},
			parts{calls(journal.Call{Fault: "status", Status: 503}, journal.Call{Status: 200})},
			nil,
		},
		"status, rarely drawn": {
			&Status{Code: 503, Calls: Calls{Ratio: 0.01}},
			parts{calls(journal.Call{Status: 200})},
			ErrNotExercised,
		},
		"status, no call": {&Status{Code: 503}, nil, ErrNotExercised},
		"status, other route": {
			&Status{Code: 503, Calls: Calls{Route: "a"}},
			parts{calls(journal.Call{Route: "b", Status: 200})},
			ErrNotExercised,
		},
		"slow answer": {
			&SlowAnswer{Delay: time.Second},
			parts{calls(journal.Call{Fault: "slow_answer", Answered: time.Second})},
			nil,
		},
		"slow answer, soon": {
			&SlowAnswer{Delay: time.Second},
			parts{calls(journal.Call{Fault: "slow_answer", Answered: time.Millisecond})},
			ErrNotInForce,
		},
		"hang": {
			&Hang{},
			parts{calls(journal.Call{Fault: "hang", HungUp: true, HungUpAfter: 5})},
			nil,
		},
		"hang, answered": {
			&Hang{},
			parts{calls(journal.Call{Fault: "hang", Status: 200, Answered: 5})},
			ErrNotInForce,
		},
		"hang, then answered": {
			&Hang{Then: 503},
			parts{calls(journal.Call{Fault: "hang", Status: 503, Answered: 5})},
			nil,
		},
		"hang, answered otherwise": {
			&Hang{Then: 503},
			parts{calls(journal.Call{Fault: "hang", Status: 200, Answered: 5})},
			ErrNotInForce,
		},
		"stalled": {
			&StalledBody{},
			parts{calls(journal.Call{Fault: "stalled_body", Status: 200, HungUp: true})},
			nil,
		},
		"stalled, ended": {
			&StalledBody{},
			parts{calls(journal.Call{Fault: "stalled_body", Status: 200, Answered: 5})},
			ErrNotInForce,
		},
		"lost answer": {
			&LostAnswer{},
			parts{calls(journal.Call{Fault: "lost_answer", BodyRead: true, Age: 5})},
			nil,
		},
		"lost answer, answered": {
			&LostAnswer{},
			parts{calls(journal.Call{Fault: "lost_answer", Status: 200, Answered: 5})},
			ErrNotInForce,
		},
		"malformed": {
			&MalformedBody{},
			parts{calls(journal.Call{Fault: "malformed_body", Status: 200, Answered: 5})},
			nil,
		},
		"malformed, refused": {
			&MalformedBody{},
			parts{calls(journal.Call{Fault: "malformed_body", Status: 500, Answered: 5})},
			ErrNotInForce,
		},
		"lock":        {&TableLock{}, parts{samples(backends("orders"), waiting())}, nil},
		"lock unseen": {&TableLock{}, parts{load}, ErrNotInForce},
		"lock, none waits": {
			&TableLock{},
			parts{load, samples(backends("orders"), backends("orders"))},
			ErrNotExercised,
		},
		"lock, no traffic": {
			&TableLock{},
			parts{samples(backends("orders"), backends("orders"))},
			ErrNotExercised,
		},
		"lock, other tables": {
			&TableLock{Tables: []string{"x"}},
			parts{load, samples(backends("orders"), backends("orders"))},
			ErrNotExercised,
		},
		"reader":                {&LongReader{}, parts{load, reading("seatrial-r1")}, nil},
		"reader, no lock watch": {&LongReader{}, parts{load}, ErrNotInForce},
		"reader, another's":     {&LongReader{}, parts{load, reading("report")}, ErrNotInForce},
		"reader, no traffic":    {&LongReader{}, parts{reading("seatrial-r1")}, ErrNotExercised},
		"flood": {
			&ConnectionFlood{},
			parts{load, samples(backends("orders"), backends(many(15, "seatrial-r1")...))},
			nil,
		},
		"flood, too few": {
			&ConnectionFlood{},
			parts{load, samples(backends("orders"), backends(many(9, "seatrial-r1")...))},
			ErrNotInForce,
		},
		"flood of 9": {
			&ConnectionFlood{Connections: 9},
			parts{load, samples(backends("orders"), backends(many(9, "seatrial-r1")...))},
			nil,
		},
		"flood of 10": {
			&ConnectionFlood{Connections: 10},
			parts{load, samples(backends("orders"), backends(many(9, "seatrial-r1")...))},
			ErrNotInForce,
		},
		"flood, no new": {
			&ConnectionFlood{},
			parts{samples(backends("orders"), backends(many(15, "seatrial-r1")...))},
			ErrNotExercised,
		},
		"terminate backends": {
			&TerminateBackends{},
			parts{samples(backends("orders"), backends())},
			nil,
		},
		"backends lived on": {
			&TerminateBackends{},
			parts{samples(backends("orders"), backends("orders"))},
			ErrNotInForce,
		},
		"no backends": {
			&TerminateBackends{},
			parts{samples(backends(), backends())},
			ErrNotExercised,
		},
		"backends unseen":       {&TerminateBackends{}, nil, ErrNotInForce},
		"pause db":              {&Pause{}, parts{silent, load}, nil},
		"pause db answered":     {&Pause{}, parts{same, load}, ErrNotInForce},
		"pause db, carried":     {&Pause{}, parts{silent, carrying(500)}, nil},
		"pause db, ours alone":  {&Pause{}, parts{silent, carrying(8)}, ErrNotExercised},
		"kill db":               {&Kill{}, parts{refused, cutLoad}, nil},
		"kill db answered":      {&Kill{}, parts{same, load}, ErrNotInForce},
		"restart db":            {&Restart{}, parts{refused, cutLoad}, nil},
		"restart db, untouched": {&Restart{}, parts{same, load}, ErrNotInForce},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { tell(t, tt.fault, "db", tt.tale, tt.want) })
	}
}

func TestWitnessesOfReplicas(t *testing.T) {
	tests := map[string]struct {
		fault Fault
		tale  parts
		want  error
	}{
		"pause":             {&Pause{}, parts{polls(0), requests}, nil},
		"pause answered":    {&Pause{}, parts{polls(200), requests}, ErrNotInForce},
		"pause unseen":      {&Pause{}, parts{requests}, ErrNotInForce},
		"pause idle":        {&Pause{}, parts{polls(0)}, ErrNotExercised},
		"kill":              {&Kill{}, parts{exit(4990, "killed"), requests}, nil},
		"kill, otherwise":   {&Kill{}, parts{exit(4990, "terminated"), requests}, ErrNotInForce},
		"kill, none":        {&Kill{}, parts{requests}, ErrNotInForce},
		"kill idle":         {&Kill{}, parts{exit(4990, "killed")}, ErrNotExercised},
		"terminate":         {&Terminate{}, parts{exit(5500, ""), requests}, nil},
		"terminate unready": {&Terminate{}, parts{polls(503), requests}, nil},
		"terminate ignored": {&Terminate{}, parts{polls(200), requests}, ErrNotInForce},
		"restart":           {&Restart{}, parts{exit(5500, ""), requests}, nil},
		"restart ignored":   {&Restart{}, parts{polls(200), requests}, ErrNotInForce},

		"cpu limit":          {&CPULimit{CPUs: 0.1}, parts{uses(free, held), requests}, nil},
		"cpu limit, unseen":  {&CPULimit{CPUs: 0.1}, parts{requests}, ErrNotInForce},
		"cpu limit, none":    {&CPULimit{CPUs: 0.1}, parts{uses(free, free), requests}, ErrNotInForce},
		"cpu limit, no need": {&CPULimit{CPUs: 0.1}, parts{uses(free, watched), requests}, ErrNotExercised},
		"cpu limit, idle":    {&CPULimit{CPUs: 0.1}, parts{uses(free, held)}, ErrNotExercised},

		"packet loss": {
			&PacketLoss{0.1},
			parts{left(journal.PacketCount{Sent: 900, Again: 9}), requests},
			nil,
		},
		"packet loss, unseen": {&PacketLoss{0.1}, parts{requests}, ErrNotInForce},
		"packet loss, none left": {
			&PacketLoss{0.1},
			parts{left(journal.PacketCount{}), requests},
			ErrNotExercised,
		},
		"packet loss, few left": {
			&PacketLoss{0.1},
			parts{left(journal.PacketCount{Sent: 40}), requests},
			ErrNotExercised,
		},
		"packet loss, unnoticed": {
			&PacketLoss{0.1},
			parts{left(journal.PacketCount{Sent: 900}), requests},
			ErrNotInForce,
		},
		"packet loss, idle": {
			&PacketLoss{0.1},
			parts{left(journal.PacketCount{Sent: 900, Again: 9})},
			ErrNotExercised,
		},
		"packet duplication": {
			&PacketDuplication{0.1},
			parts{left(journal.PacketCount{Sent: 900, Twice: 9}), requests},
			nil,
		},
		"packet duplication, again": {
			&PacketDuplication{0.1},
			parts{left(journal.PacketCount{Sent: 900, Again: 9}), requests},
			ErrNotInForce,
		},
		"packet corruption": {
			&PacketCorruption{0.1},
			parts{left(journal.PacketCount{Sent: 900, Again: 9}), requests},
			nil,
		},
		"packet delay": {slowly, parts{left(journal.PacketCount{Sent: 9}), took(60), requests}, nil},
		"packet delay, not seen": {
			slowly,
			parts{left(journal.PacketCount{Sent: 9}), took(20), requests},
			ErrNotInForce,
		},
		"packet delay, no polls": {slowly, parts{left(journal.PacketCount{Sent: 9}), requests}, ErrNotInForce},
		"packet delay, none left": {
			slowly,
			parts{left(journal.PacketCount{}), took(60), requests},
			ErrNotExercised,
		},

		"memory limit":           {&MemoryLimit{}, parts{uses(free, tight), requests}, nil},
		"memory limit, killed":   {&MemoryLimit{}, parts{uses(free, wide, killed), requests}, nil},
		"memory limit, unseen":   {&MemoryLimit{}, parts{requests}, ErrNotInForce},
		"memory limit, none":     {&MemoryLimit{}, parts{uses(free, free), requests}, ErrNotInForce},
		"memory limit, far away": {&MemoryLimit{}, parts{uses(free, wide), requests}, ErrNotExercised},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { tell(t, tt.fault, "r1", tt.tale, tt.want) })
	}
}
