package journal

// scanner reads JSON of one exact form, without blanks, letters beyond ASCII and
// escapes other than of what SQL is full of. It is not ok once it has met
// anything else.
type scanner struct {
	rest []byte
	ok   bool
}

// has takes what comes next if it is that.
func (s *scanner) has(what string) bool {
	if len(s.rest) < len(what) || string(s.rest[:len(what)]) != what {
		return false
	}
	s.rest = s.rest[len(what):]
	return true
}

// skip takes what must come next.
func (s *scanner) skip(what string) {
	if !s.has(what) {
		s.ok = false
	}
}

// maxDigits is of numbers that fit an int64 whatever they are.
const maxDigits = 18

func (s *scanner) int() (v int64) {
	negative := s.has("-")
	n := 0
	for n < len(s.rest) && n <= maxDigits && s.rest[n] >= '0' && s.rest[n] <= '9' {
		v = 10*v + int64(s.rest[n]-'0')
		n++
	}
	if n == 0 || n > maxDigits || n > 1 && s.rest[0] == '0' {
		s.ok = false
		return 0
	}
	s.rest = s.rest[n:]
	if negative {
		return -v
	}
	return v
}

func (s *scanner) optionalInt(name string) int64 {
	if !s.has(name) {
		return 0
	}
	return s.int()
}

func (s *scanner) optionalText(name string) string {
	if !s.has(name) {
		return ""
	}
	return s.text()
}

// text takes a string.
func (s *scanner) text() string {
	s.skip(`"`)
	for n, c := range s.rest {
		switch {
		case c == '"':
			v := string(s.rest[:n])
			s.rest = s.rest[n+1:]
			return v
		case c == '\\':
			return s.escaped(n)
		case c < ' ' || c >= 0x7f:
			s.ok = false
			return ""
		}
	}
	s.ok = false
	return ""
}

// escapes are those of SQL's own signs, as json.Marshal writes them.
var escapes = []struct {
	written string
	sign    byte
}{{`\"`, '"'}, {`\u003c`, '<'}, {`\u003e`, '>'}, {`\u0026`, '&'}, {`\\`, '\\'}}

// escaped takes a string of which the first n bytes are no escapes.
func (s *scanner) escaped(n int) string {
	v := append(make([]byte, 0, 2*n+16), s.rest[:n]...)
	s.rest = s.rest[n:]
next:
	for len(s.rest) > 0 {
		switch c := s.rest[0]; {
		case c == '"':
			s.rest = s.rest[1:]
			return string(v)
		case c == '\\':
			for _, e := range escapes {
				if s.has(e.written) {
					v = append(v, e.sign)
					continue next
				}
			}
			s.ok = false
			return ""
		case c < ' ' || c >= 0x7f:
			s.ok = false
			return ""
		default:
			v = append(v, c)
			s.rest = s.rest[1:]
		}
	}
	s.ok = false
	return ""
}
