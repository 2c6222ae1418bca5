package fleet

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Version is one version of the service: the subject as it describes it, and
// what it runs from, a program or an image.
type Version struct {
	*subject.Subject
	From string
}

var _ environment.Migrator = (*Base)(nil)

// Bring brings everything up: first all that does not wait for anything else, at
// the same time; then the service.
func (b *Base) Bring(ctx context.Context, starts []func(context.Context) error) error {
	b.Options.Progress.Say("starting dependencies")
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		b.current = Version{Subject: b.Subject}
		if b.current.From, err = b.Build(gctx, b.Subject); err != nil || b.Ahead == nil {
			return err
		}
		return b.Ahead(gctx)
	})
	if b.Options.Next {
		group.Go(func() error { return b.buildNext(gctx) })
	}
	for _, start := range starts {
		group.Go(func() error { return start(gctx) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := b.Commands(ctx, b.current, SourceBefore, "service.before"); err != nil {
		return err
	}
	if err := b.Open(); err != nil {
		return err
	}
	b.Options.Progress.Say("starting replicas")
	return b.Add(ctx, Replicas(b.Subject))
}

func (b *Base) buildNext(ctx context.Context) (err error) {
	if b.Subject.Next == nil {
		return errors.New("the subject has no next version; add next: {build: …, migrate: …}")
	}
	b.next = Version{Subject: b.Subject.AsNext()}
	b.next.From, err = b.Build(ctx, b.next.Subject)
	return err
}

// Current is the version of the service that is on trial.
func (b *Base) Current() Version { return b.current }

// Version is the version of a name. The next one is there when the options
// asked for it.
func (b *Base) Version(name string) (Version, error) {
	switch {
	case name == subject.CurrentVersion:
		return b.current, nil
	case name == subject.NextVersion && b.next.From != "":
		return b.next, nil
	}
	return Version{}, fmt.Errorf("there is no version %q here", name)
}

// Migrate runs the commands that bring the schema to the next version.
func (b *Base) Migrate(ctx context.Context) error {
	next, err := b.Version(subject.NextVersion)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return b.Commands(ctx, next, fmt.Sprintf("migrate-%d", b.migrations.Add(1)), "next.migrate")
}
