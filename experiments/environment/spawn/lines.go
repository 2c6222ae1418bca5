package spawn

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/seatrial/seatrial/experiments/environment/redact"
	"github.com/seatrial/seatrial/experiments/journal"
)

// What is taken down of one source at most. A service that prints without end
// neither fills the disk nor is held up: the rest is read and counted.
const (
	// LineBytes bounds one line.
	LineBytes = 8 << 10
	// lineBurst lines may come at once, linesPerSecond in the long run;
	// likewise bytes.
	lineBurst      = 2000
	linesPerSecond = 500
	byteBurst      = 1 << 20
	bytesPerSecond = 256 << 10
	// tailLines are remembered for an error message.
	tailLines = 12
)

// Lines takes down what one source prints, as entries of a journal, without
// the secrets.
type Lines struct {
	source  string
	journal journal.Recorder
	secrets *redact.Secrets

	mu     sync.Mutex
	lines  budget
	bytes  budget
	lost   int
	lostOn string
	tail   [tailLines]string
	tailAt int
}

// NewLines returns one for a source: a replica's or a dependency's name. The
// recorder may be nil: then only the tail is kept.
func NewLines(source string, r journal.Recorder, s *redact.Secrets) *Lines {
	return &Lines{
		source: source, journal: r, secrets: s,
		lines: budget{burst: lineBurst, rate: linesPerSecond},
		bytes: budget{burst: byteBurst, rate: bytesPerSecond},
	}
}

// Tail is what was printed last, without the secrets, oldest first.
func (l *Lines) Tail() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var tail []string
	for i := range tailLines {
		if line := l.tail[(l.tailAt+i)%tailLines]; line != "" {
			tail = append(tail, line)
		}
	}
	return tail
}

// take takes one line down, or counts it as lost.
func (l *Lines) take(stream string, raw []byte, cut bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.lines.has(1, now) || !l.bytes.has(min(len(raw), LineBytes), now) {
		l.lost++
		l.lostOn = stream
		if l.lost%1024 == 0 { // the tail need not be exact in a flood
			l.remember(l.clean(raw))
		}
		return
	}
	text := l.clean(raw)
	if len(text) > LineBytes {
		text, cut = strings.ToValidUTF8(text[:LineBytes], ""), true
	}
	l.remember(text)
	l.record(journal.LogLine{Stream: stream, Text: text, Cut: cut, Lost: l.lost})
	l.lost = 0
}

// End records how many lines were lost last, in an entry without a line; it is
// for when all streams have ended.
func (l *Lines) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost > 0 {
		l.record(journal.LogLine{Stream: l.lostOn, Lost: l.lost})
		l.lost = 0
	}
}

func (l *Lines) clean(raw []byte) string {
	text := string(raw)
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return l.secrets.Clean(text)
}

func (l *Lines) remember(text string) {
	const short = 300
	if len(text) > short {
		text = strings.ToValidUTF8(text[:short], "") + "…"
	}
	l.tail[l.tailAt] = text
	l.tailAt = (l.tailAt + 1) % tailLines
}

func (l *Lines) record(line journal.LogLine) {
	if l.journal != nil {
		l.journal.Record(journal.Entry{On: l.source, Body: line})
	}
}

// budget is a token bucket that starts full.
type budget struct {
	burst, rate float64
	used        float64
	last        time.Time
}

func (b *budget) has(n int, now time.Time) bool {
	if !b.last.IsZero() {
		b.used = max(0, b.used-b.rate*now.Sub(b.last).Seconds())
	}
	b.last = now
	if b.used+float64(n) > b.burst {
		return false
	}
	b.used += float64(n)
	return true
}

// reader reads one stream of one process to its end.
type reader struct {
	lines  *Lines
	stream string
	pipe   *os.File
	done   chan struct{}
}

func (r *reader) run() {
	defer close(r.done)
	r.lines.Follow(r.stream, r.pipe)
}

// Follow takes down one stream, stdout or stderr, to its end.
func (l *Lines) Follow(stream string, from io.Reader) {
	// More than a line's bound, so that a secret that lies across the bound is
	// still recognised.
	in := bufio.NewReaderSize(from, 2*LineBytes)
	for {
		line, err := in.ReadSlice('\n')
		cut := errors.Is(err, bufio.ErrBufferFull)
		if len(line) > 0 {
			l.take(stream, trimEnd(line), cut, time.Now())
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of an overlong line
			_, err = in.ReadSlice('\n')
		}
		if err != nil {
			break
		}
	}
}

func trimEnd(line []byte) []byte {
	n := len(line)
	for n > 0 && (line[n-1] == '\n' || line[n-1] == '\r') {
		n--
	}
	return line[:n]
}
