package main

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/docker"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/subject"
)

// versions are those of the programs that the subject's environment is made of,
// or the images that it is made of, in containers.
func versions(ctx context.Context, s *subject.Subject, in environment.Backend) map[string]string {
	if _, contained := in.(*docker.Backend); contained {
		return docker.Images(s)
	}
	out := map[string]string{}
	for _, d := range s.Dependencies {
		switch d.Kind {
		case subject.Postgres:
			if d.External() {
				if v, err := postgres.VersionAt(ctx, d.AdminURL); err == nil {
					out[d.Name] = "PostgreSQL " + number(v)
				}
			} else if b, ok, err := postgres.Find(ctx, d.Bin); ok && err == nil {
				out["postgres"] = number(b.Version)
			}
		case subject.Redis:
			if v := printed(ctx, "redis-server", "--version"); v != "" {
				out["redis"] = number(v)
			}
		}
	}
	if s.Service.Build != nil {
		out["go"] = printed(ctx, "go", "env", "GOVERSION") // what the service is built with
	}
	return out
}

var numberOf = regexp.MustCompile(`\d+(\.\d+)+`)

// number is the version's number alone, where there is one.
func number(version string) string {
	if n := numberOf.FindString(version); n != "" {
		return n
	}
	return version
}

// printed is the first line that a program prints; empty when it cannot run.
func printed(ctx context.Context, name string, args ...string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	b, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}
