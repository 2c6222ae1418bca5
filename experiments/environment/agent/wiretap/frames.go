package wiretap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

const (
	// bufferBytes is how much of a stream is read ahead. Of a message that is
	// longer only the beginning is looked at.
	bufferBytes = 64 << 10
	headerBytes = 5 // a message's type and length
	// A message's length counts itself.
	leastLength = 4
)

// errNoFrame says that what comes is no message of the protocol.
var errNoFrame = errors.New("no message of the PostgreSQL protocol")

// frames relays messages from one side to the other. What has been written is
// sent before it waits for more.
type frames struct {
	r    *bufio.Reader
	w    *bufio.Writer
	left int64 // of the present message, its header included
}

func newFrames(from io.Reader, to io.Writer) *frames {
	return &frames{r: bufio.NewReaderSize(from, bufferBytes), w: bufio.NewWriterSize(to, bufferBytes)}
}

// next waits for a message and returns its type and its body, as far as that
// fits the buffer; it is valid until the message is passed or dropped.
func (f *frames) next() (kind byte, body []byte, err error) {
	head, err := f.peek(headerBytes)
	if err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length < leastLength || length > 1<<31-1 {
		return 0, nil, errNoFrame
	}
	f.left = int64(length) + 1
	whole, err := f.peek(int(min(f.left, bufferBytes)))
	if err != nil {
		return 0, nil, err
	}
	return whole[0], whole[headerBytes:], nil
}

func (f *frames) peek(n int) ([]byte, error) {
	if f.r.Buffered() < n {
		if err := f.w.Flush(); err != nil {
			return nil, err
		}
	}
	return f.r.Peek(n)
}

// pass relays the present message as it is.
func (f *frames) pass() error {
	n := f.left
	f.left = 0
	if n <= int64(f.r.Buffered()) {
		b, err := f.r.Peek(int(n))
		if err != nil {
			return err
		}
		if _, err := f.w.Write(b); err != nil {
			return err
		}
		_, err = f.r.Discard(int(n))
		return err
	}
	_, err := io.CopyN(f.w, f.r, n)
	return err
}

// alike is how many messages there are of the present one's type, itself
// included, before another one or the buffer's end, and how long they are.
func (f *frames) alike() (n, length int) {
	b, err := f.r.Peek(f.r.Buffered())
	if err != nil {
		return 0, 0
	}
	for at := 0; at+headerBytes <= len(b) && b[at] == b[0]; n++ {
		l := binary.BigEndian.Uint32(b[at+1:])
		if l < leastLength || l >= uint32(len(b)-at) {
			break
		}
		at += int(l) + 1
		length = at
	}
	return n, length
}

// drop leaves the present message out.
func (f *frames) drop() error {
	n := f.left
	f.left = 0
	_, err := io.CopyN(io.Discard, f.r, n)
	return err
}

// put writes a message of our own.
func (f *frames) put(b []byte) error {
	_, err := f.w.Write(b)
	return err
}

// rest relays whatever comes, without a look at it, until the end.
func (f *frames) rest(to io.Writer) error {
	if err := f.w.Flush(); err != nil {
		return err
	}
	_, err := f.r.WriteTo(to)
	return err
}
