package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/environment/render"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Command is one command of a subject, its references filled in.
type Command struct {
	// Words are the command line; "service" as its first stands for the
	// service's own program.
	Words []string
	// Env are its own entries, which stand over the service's.
	Env []string
	// Lines take what it prints.
	Lines *spawn.Lines
}

// SourceBefore is the source of what the commands print that come before the
// version on trial.
const SourceBefore = "before"

// Render fills in the references of a subject's command; its lines are nil.
func Render(c subject.Command, scope render.Scope) (command Command, err error) {
	if len(c.Run) == 0 {
		return command, errors.New("run is empty")
	}
	if command.Env, err = scope.Env(c.Env); err != nil {
		return command, err
	}
	command.Words, err = scope.Strings(c.Run)
	return command, err
}

// RunCommands runs commands of a subject in order, each to its end or to that of
// its time. What they print is recorded as that of source; at is where the file
// lists them.
func (b *Base) RunCommands(
	ctx context.Context, commands []subject.Command, source, at string, scope render.Scope,
	run func(context.Context, Command) (spawn.Exit, error),
) error {
	for i, c := range commands {
		if err := b.runCommand(ctx, c, source, scope, run); err != nil {
			return fmt.Errorf("%s[%d]: %w", at, i, err)
		}
	}
	return nil
}

func (b *Base) runCommand(
	ctx context.Context, c subject.Command, source string, scope render.Scope,
	run func(context.Context, Command) (spawn.Exit, error),
) error {
	command, err := Render(c, scope)
	if err != nil {
		return err
	}
	b.Options.Progress.Say("running " + strings.Join(c.Run, " "))
	command.Lines = b.NewLines(source)
	within := c.Within
	if within <= 0 {
		within = time.Minute
	}
	limit := fmt.Errorf("it did not end within %v", within)
	bounded, cancel := context.WithTimeoutCause(ctx, within, limit)
	defer cancel()
	exit, err := run(bounded, command)
	if err != nil && errors.Is(context.Cause(bounded), limit) {
		err = limit
	}
	if err == nil && exit.Code != 0 {
		err = errors.New("it " + exit.String())
	}
	if err != nil {
		return fmt.Errorf("%s: %w%s", strings.Join(c.Run, " "), err, Printed(command.Lines))
	}
	return nil
}
