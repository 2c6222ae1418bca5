package runner

import (
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/redact"
	"github.com/seatrial/seatrial/experiments/subject"
)

// discreet is an environment that knows the secrets of its service, also those
// that it made itself.
type discreet interface{ Clean(text string) string }

// cleaned is an error whose text has no secrets in it any more.
type cleaned struct {
	err  error
	text string
}

func (c *cleaned) Error() string { return c.text }
func (c *cleaned) Unwrap() error { return c.err }

// clean takes secrets out of an error's text: it may quote what the service
// answered.
func clean(err error, env environment.Environment, s *subject.Subject) error {
	var secrets redact.Secrets
	secrets.Add(s.Secrets()...)
	text := secrets.Clean(err.Error())
	if d, ok := env.(discreet); ok {
		text = d.Clean(text)
	}
	if text == err.Error() {
		return err
	}
	return &cleaned{err, text}
}
