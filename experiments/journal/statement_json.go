package journal

import (
	"encoding/json"
	"strconv"
	"time"
)

// The wire tap records thousands of statements a second, so that they are
// written and read without reflection. What is written is what json.Marshal
// would write, byte for byte; what is not in that form is left to json.Unmarshal.

// appendJSON appends the statement as an object.
func (s Statement) appendJSON(b []byte) []byte {
	b = append(b, `{"conn":`...)
	b = strconv.AppendUint(b, s.Conn, 10)
	b = appendInt(b, "pid", int64(s.PID))
	b = appendText(b, "app", s.App)
	b = append(b, `,"stage":`...)
	b = appendString(b, s.Stage)
	b = appendText(b, "text", s.Text)
	b = appendText(b, "tx", s.Tx)
	b = appendText(b, "after", s.After)
	b = appendText(b, "tag", s.Tag)
	b = appendInt(b, "rows", int64(s.Rows))
	b = appendText(b, "sqlstate", s.SQLState)
	b = append(b, `,"took":`...)
	b = strconv.AppendInt(b, int64(s.Took), 10)
	if s.Unfinished {
		b = append(b, `,"unfinished":true`...)
	}
	b = appendText(b, "canary", s.Canary)
	b = appendText(b, "fault", s.Fault)
	b = appendText(b, "done", s.Done)
	b = appendInt(b, "held", int64(s.Held))
	return append(b, '}')
}

// appendInt appends a member, unless it is zero.
func appendInt(b []byte, name string, v int64) []byte {
	if v == 0 {
		return b
	}
	return strconv.AppendInt(appendName(b, name), v, 10)
}

// appendText appends a member, unless it is empty.
func appendText(b []byte, name, v string) []byte {
	if v == "" {
		return b
	}
	return appendString(appendName(b, name), v)
}

func appendName(b []byte, name string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	return append(b, `":`...)
}

func appendString(b []byte, v string) []byte {
	for i := range len(v) {
		if !plain(v[i]) {
			quoted, _ := json.Marshal(v) // a string always can
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, v...)
	return append(b, '"')
}

// plain reports whether json.Marshal writes a byte as it is.
func plain(c byte) bool {
	switch c {
	case '"', '\\', '<', '>', '&', 0x7f:
		return false
	}
	return c >= ' ' && c < 0x7f
}

// scanJSON reads what appendJSON wrote; false, where it is in any other form.
func (s *Statement) scanJSON(data []byte) bool {
	in := scanner{rest: data, ok: true}
	in.skip(`{"conn":`)
	in.ok = in.ok && !in.has("-")
	s.Conn = uint64(in.int())
	s.PID = int(in.optionalInt(`,"pid":`))
	s.App = in.optionalText(`,"app":`)
	in.skip(`,"stage":`)
	s.Stage = in.text()
	s.Text = in.optionalText(`,"text":`)
	s.Tx = in.optionalText(`,"tx":`)
	s.After = in.optionalText(`,"after":`)
	s.Tag = in.optionalText(`,"tag":`)
	s.Rows = int(in.optionalInt(`,"rows":`))
	s.SQLState = in.optionalText(`,"sqlstate":`)
	in.skip(`,"took":`)
	s.Took = time.Duration(in.int())
	s.Unfinished = in.has(`,"unfinished":true`)
	s.Canary = in.optionalText(`,"canary":`)
	s.Fault = in.optionalText(`,"fault":`)
	s.Done = in.optionalText(`,"done":`)
	s.Held = time.Duration(in.optionalInt(`,"held":`))
	in.skip(`}`)
	return in.ok && len(in.rest) == 0
}
