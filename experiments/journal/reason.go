package journal

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// Reason names the reason for which there was no answer by one of the Err
// constants; empty when there was no error.
func Reason(err error) string {
	var op *net.OpError
	var timeout net.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled):
		return ErrCanceled
	case errors.As(err, &timeout) && timeout.Timeout():
		return ErrTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrRefused
	case errors.As(err, &op) && op.Op == "dial":
		return ErrDial
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ErrReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		strings.Contains(err.Error(), "server closed idle connection"): // net/http does not export this one
		return ErrEOF
	}
	return ErrOther
}
