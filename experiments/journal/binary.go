package journal

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The form of requests.bin: a head of 16 bytes (the magic, the size of a
// record, zeros), then records of 56 bytes, little-endian. Strings are numbers
// into the journal's name entries.
const (
	binaryMagic  = "SEATREQ\x01"
	binaryHead   = 16
	binaryRecord = 56
)

const (
	flagOK = 1 << iota
	flagDropped
	flagCanceled
	flagRetryAfter
	flagClose
	flagReused
)

// Name gives a number to a string that requests.bin refers to. Number 0 is the
// empty string and is never written.
type Name struct {
	ID   uint16 `json:"id"`
	Text string `json:"text"`
}

// Kind is "name".
func (Name) Kind() string { return "name" }

// headerLine is the first line of a journal.
type headerLine struct{ Header }

// Kind is "header".
func (headerLine) Kind() string { return "header" }

var (
	_ = register[Name]()
	_ = register[headerLine]()
)

func appendHead(b []byte) []byte {
	b = append(b, binaryMagic...)
	b = binary.LittleEndian.AppendUint32(b, binaryRecord)
	return append(b, 0, 0, 0, 0)
}

func readHead(r io.Reader) error {
	var head [binaryHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("read its head: %w", err)
	}
	if string(head[:8]) != binaryMagic {
		return fmt.Errorf("it does not begin as a file of requests does")
	}
	if size := binary.LittleEndian.Uint32(head[8:]); size != binaryRecord {
		return fmt.Errorf("its records have %d bytes, this version reads %d", size, binaryRecord)
	}
	return nil
}

// appendRequest appends a request's record; name numbers the three strings.
func appendRequest(b []byte, r Request, route, attack, reason uint16) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, r.Seq)
	b = le.AppendUint64(b, uint64(r.Due))
	b = le.AppendUint64(b, uint64(r.Sent))
	b = le.AppendUint64(b, uint64(r.Done))
	b = le.AppendUint32(b, r.BytesIn)
	b = le.AppendUint32(b, r.BytesOut)
	b = le.AppendUint16(b, uint16(r.Code))
	b = le.AppendUint16(b, route)
	b = le.AppendUint16(b, attack)
	b = le.AppendUint16(b, reason)
	b = le.AppendUint16(b, uint16(min(r.Replays, 1<<16-1)))
	b = le.AppendUint16(b, flags(r))
	b = le.AppendUint16(b, uint16(min(r.Tries, 1<<16-1)))
	return append(b, 0, 0)
}

func flags(r Request) uint16 {
	return flag(r.OK, flagOK) | flag(r.Dropped, flagDropped) | flag(r.Canceled, flagCanceled) |
		flag(r.RetryAfter, flagRetryAfter) | flag(r.Close, flagClose) | flag(r.Reused, flagReused)
}

func flag(set bool, f uint16) uint16 {
	if set {
		return f
	}
	return 0
}

// decodeRequest reads a record; text gives the strings back.
func decodeRequest(b []byte, text func(uint16) string) Request {
	le := binary.LittleEndian
	f := le.Uint16(b[50:])
	return Request{
		Seq:        le.Uint64(b),
		Due:        Instant(le.Uint64(b[8:])),
		Sent:       Instant(le.Uint64(b[16:])),
		Done:       Instant(le.Uint64(b[24:])),
		BytesIn:    le.Uint32(b[32:]),
		BytesOut:   le.Uint32(b[36:]),
		Code:       int(le.Uint16(b[40:])),
		Route:      text(le.Uint16(b[42:])),
		Attack:     text(le.Uint16(b[44:])),
		Err:        text(le.Uint16(b[46:])),
		Replays:    int(le.Uint16(b[48:])),
		Tries:      int(le.Uint16(b[52:])),
		OK:         f&flagOK != 0,
		Dropped:    f&flagDropped != 0,
		Canceled:   f&flagCanceled != 0,
		RetryAfter: f&flagRetryAfter != 0,
		Close:      f&flagClose != 0,
		Reused:     f&flagReused != 0,
	}
}
