package journal

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Files of a run's folder that hold its journal.
const (
	EntriesFile  = "journal.jsonl" // one entry a line, the header first
	RequestsFile = "requests.bin"  // fixed width; what detectors read
	CSVFile      = "requests.csv"  // vegeta's twelve columns, for other tools
)

// flushEvery bounds what a SIGKILL of seatrial can lose.
const flushEvery = 500 * time.Millisecond

// Folder records a run into a folder while it happens. Make one with [Create];
// it is safe for use by several goroutines.
type Folder struct {
	start  time.Time
	header Header
	done   chan struct{}
	flush  sync.WaitGroup

	mu      sync.Mutex
	err     error // the first error of writing
	closed  bool
	names   map[string]uint16
	methods map[string]Route
	scratch []byte
	entries *sink
	binary  *sink
	csvSink *sink
	csv     *csv.Writer
}

// sink is one file with its buffer.
type sink struct {
	file *os.File
	*bufio.Writer
}

func newSink(dir, name string) (*sink, error) {
	const anew = os.O_CREATE | os.O_EXCL | os.O_WRONLY | os.O_APPEND
	f, err := os.OpenFile(filepath.Join(dir, name), anew, 0o644) //nolint:gosec // a trial is there to be read by others
	if err != nil {
		return nil, err
	}
	return &sink{f, bufio.NewWriterSize(f, 64<<10)}, nil
}

// Create makes the folder where it is missing and begins a journal in it; the
// run's clock starts now. There must be no journal in it yet.
func Create(dir string, h Header) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a trial is there to be read by others
		return nil, fmt.Errorf("journal %s: %w", dir, err)
	}
	f := &Folder{
		done: make(chan struct{}), names: map[string]uint16{"": 0}, methods: map[string]Route{},
	}
	for _, open := range []struct {
		to   **sink
		name string
	}{{&f.entries, EntriesFile}, {&f.binary, RequestsFile}, {&f.csvSink, CSVFile}} {
		s, err := newSink(dir, open.name)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("journal %s: %w", dir, err), f.closeFiles())
		}
		*open.to = s
	}
	f.csv = csv.NewWriter(f.csvSink)
	f.start = time.Now()
	h.Format, h.Started = Format, f.start
	f.header = h
	for _, r := range h.Routes {
		f.methods[r.Name] = r
	}
	f.write(f.binary, appendHead(nil))
	f.record(Entry{Body: headerLine{h}})
	_ = f.Flush() // the folder is valid from here on; an error is kept in f.err
	f.flush.Go(f.keepFlushing)
	return f, nil
}

// Header is the header as it was written.
func (f *Folder) Header() Header { return f.header }

// Now is the time since the journal was begun.
func (f *Folder) Now() Instant { return Instant(time.Since(f.start)) }

// Record appends an entry. After Close it does nothing.
func (f *Folder) Record(e Entry) {
	if e.At == 0 {
		e.At = f.Now()
	}
	f.record(e)
}

// usualLine is as long as most lines of a journal are at most, in bytes.
const usualLine = 384

func (f *Folder) record(e Entry) {
	line, err := e.AppendJSON(make([]byte, 0, usualLine))
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.fail(err)
		return
	}
	f.write(f.entries, append(line, '\n'))
}

// Request appends a request to both of its files. After Close it does nothing.
func (f *Folder) Request(r Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	route, attack, reason := f.name(r.Route), f.name(r.Attack), f.name(r.Err)
	f.scratch = appendRequest(f.scratch[:0], r, route, attack, reason)
	f.write(f.binary, f.scratch)
	if f.err == nil && !f.closed {
		f.fail(f.csv.Write(f.row(r)))
	}
}

// row is a request in vegeta's columns: timestamp (due), code, latency (from
// due), bytes out, bytes in, error, body, attack, seq, method, URL, headers.
func (f *Folder) row(r Request) []string {
	route := f.methods[r.Route]
	reason := r.Err
	if r.Dropped {
		reason = "dropped"
	}
	return []string{
		strconv.FormatInt(f.start.Add(r.Due.Duration()).UnixNano(), 10),
		strconv.Itoa(r.Code),
		strconv.FormatInt(int64(r.Latency()), 10),
		strconv.FormatUint(uint64(r.BytesOut), 10),
		strconv.FormatUint(uint64(r.BytesIn), 10),
		reason, "", r.Attack,
		strconv.FormatUint(r.Seq, 10),
		route.Method, route.Path, "",
	}
}

// name numbers a string; the first time it writes the number down.
func (f *Folder) name(text string) uint16 {
	id, known := f.names[text]
	if known {
		return id
	}
	if len(f.names) > 1<<16-1 {
		f.fail(fmt.Errorf("more than %d different names of routes, attacks and errors", 1<<16-1))
		return 0
	}
	id = uint16(len(f.names))
	f.names[text] = id
	line, err := Entry{At: f.Now(), Body: Name{ID: id, Text: text}}.AppendJSON(nil)
	f.fail(err)
	f.write(f.entries, append(line, '\n'))
	return id
}

func (f *Folder) write(s *sink, b []byte) {
	if f.err != nil || f.closed {
		return
	}
	_, err := s.Write(b)
	f.fail(err)
}

func (f *Folder) fail(err error) {
	if f.err == nil && err != nil {
		f.err = fmt.Errorf("write the journal: %w", err)
	}
}

// Err is the first error of writing, such as a full disk; nothing is recorded
// after it.
func (f *Folder) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Flush hands everything recorded so far to the operating system, so that
// [Open] sees it.
func (f *Folder) Flush() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return f.err
	}
	f.csv.Flush()
	f.fail(f.csv.Error())
	for _, s := range []*sink{f.entries, f.binary, f.csvSink} { // names before the records that use them
		f.fail(s.Flush())
	}
	return f.err
}

func (f *Folder) keepFlushing() {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for {
		select {
		case <-f.done:
			return
		case <-t.C:
			_ = f.Flush() // kept in f.err, and returned by Close
		}
	}
}

// Close flushes and closes the files and returns the first error of writing.
// It is safe to call twice.
func (f *Folder) Close() error {
	err := f.Flush()
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return err
	}
	f.closed = true
	close(f.done)
	f.mu.Unlock()
	f.flush.Wait()
	return errors.Join(err, f.closeFiles())
}

func (f *Folder) closeFiles() error {
	var errs []error
	for _, s := range []*sink{f.entries, f.binary, f.csvSink} {
		if s != nil {
			errs = append(errs, s.file.Close())
		}
	}
	return errors.Join(errs...)
}

var _ Recorder = (*Folder)(nil)

// Open reads the journal in a run's folder: its entries into memory, its
// requests from disk each time they are asked for. A journal that ends in the
// middle of a line or record, as one does whose writer was killed, is read up
// to there.
func Open(dir string) (*Saved, error) {
	s := &Saved{dir: dir}
	file, err := os.Open(filepath.Join(dir, EntriesFile))
	if err != nil {
		return nil, fmt.Errorf("journal %s: %w", dir, err)
	}
	defer file.Close()
	if _, err := s.read(file); err != nil {
		return nil, fmt.Errorf("journal %s: %s: %w", dir, EntriesFile, err)
	}
	return s, s.checkRequests()
}

// read takes the entries in, and says how many bytes they have. A line that was
// not finished is left.
func (s *Saved) read(from io.Reader) (size int64, err error) {
	r := bufio.NewReaderSize(from, 256<<10)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return size, err
		}
		s.lines++
		var e Entry
		if err := e.UnmarshalJSON(bytes.TrimSpace(line)); err != nil {
			return size, fmt.Errorf("line %d: %w", s.lines, err)
		}
		if err := s.take(e, s.lines); err != nil {
			return size, err
		}
		size += int64(len(line))
	}
	if s.header.Format == 0 {
		return size, fmt.Errorf("it has no header; the run was ended before it began")
	}
	return size, nil
}

func (s *Saved) take(e Entry, line int) error {
	switch b := e.Body.(type) {
	case headerLine:
		if b.Format != Format {
			return fmt.Errorf("it has format %d, this version reads %d", b.Format, Format)
		}
		s.header = b.Header
	case Name:
		for len(s.names) <= int(b.ID) {
			s.names = append(s.names, "")
		}
		s.names[b.ID] = b.Text
	default:
		if s.header.Format == 0 {
			return fmt.Errorf("line %d: an entry stands before the header", line)
		}
		s.entries = append(s.entries, e)
	}
	return nil
}

func (s *Saved) checkRequests() error {
	file, err := os.Open(filepath.Join(s.dir, RequestsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a journal without requests is one without load
	}
	if err != nil {
		return fmt.Errorf("journal %s: %w", s.dir, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("journal %s: %w", s.dir, err)
	}
	if info.Size() < binaryHead {
		return nil // killed before its first flush
	}
	if err := readHead(file); err != nil {
		return fmt.Errorf("journal %s: %s: %w", s.dir, RequestsFile, err)
	}
	return nil
}
