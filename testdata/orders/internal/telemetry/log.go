package telemetry

import (
	"context"
	"io"
	"log/slog"
	"runtime/debug"
)

// Name of the service in logs and metrics.
const Name = "orders"

// version is set by the linker where the repository cannot be asked, as in a
// container's build.
var version string

// Version is the commit that was built, else "dev".
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "dev"
}

// NewLogger writes JSON lines that all say which service, version, environment
// and replica they come from.
func NewLogger(w io.Writer, environment, replica string) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, nil)).With(
		"service", Name, "version", Version(), "environment", environment, "replica", replica)
}

type loggerKey struct{}

// WithLogger returns a context whose [Logger] is l.
func WithLogger(ctx context.Context, l *slog.Logger) context.Context {
	return context.WithValue(ctx, loggerKey{}, l)
}

// Logger returns the request's logger.
func Logger(ctx context.Context) *slog.Logger {
	if l, ok := ctx.Value(loggerKey{}).(*slog.Logger); ok {
		return l
	}
	return slog.Default()
}
