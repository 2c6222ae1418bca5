package docker

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// database is an image of a PostgreSQL server whose data directory is
// initialised and holds the service's roles and its database, as a template of
// the process environment does.
type database struct {
	image string
	admin string // the superuser's password
}

// databaseForm is counted up when what is in such an image changes.
const databaseForm = "1"

// dataFolder is where an image of PostgreSQL is asked to keep its data: outside
// the volume that it declares, into which the engine would copy all of it for each
// container (1 s), and where every user may make it. One that keeps it elsewhere
// all the same is only slower.
const dataFolder = "/tmp/seatrial"

// labelAdmin is the label of such an image that holds the superuser's password.
const labelAdmin = "seatrial.admin"

// database is the image that a dependency's servers are made from: one that was
// made from the dependency's own before, or is now. Anew says that the engine is
// asked also for one that is known.
func (b *Backend) database(
	ctx context.Context, d subject.Dependency, progress environment.Progress, anew bool,
) (database, error) {
	b.initialising.Lock()
	defer b.initialising.Unlock()
	p, _ := pictureOf(d)
	roles := rolesOf(d)
	key := strings.Join([]string{p.name, roles.Name, roles.Service}, "\x00")
	if known, ok := b.databases[key]; ok && !anew {
		return known, nil
	}
	if err := b.engine.ensure(ctx, p, progress); err != nil {
		return database{}, err
	}
	own, err := b.engine.client.ImageInspect(ctx, p.name)
	if err != nil {
		return database{}, fmt.Errorf("look at image %s: %w", p.name, err)
	}
	made := []string{databaseForm, dataFolder, own.ID, roles.Name, roles.Service}
	sum := sha256.Sum256([]byte(strings.Join(made, "\x00")))
	found := database{image: "seatrial/database:" + hex.EncodeToString(sum[:6])}
	seen, err := b.engine.client.ImageInspect(ctx, found.image)
	switch {
	case err == nil && seen.Config != nil:
		found.admin = seen.Config.Labels[labelAdmin]
	case err == nil || errdefs.IsNotFound(err):
		progress.Say("initialising a database with " + p.name + " (once)")
		if found.admin, err = b.initialise(ctx, d, p.name, found.image); err != nil {
			return database{}, fmt.Errorf("initialise a database with %s: %w", p.name, err)
		}
	default:
		return database{}, fmt.Errorf("look for image %s: %w", found.image, err)
	}
	b.databases[key] = found
	return found, nil
}

// rolesOf is the service's database of a dependency, without passwords.
func rolesOf(d subject.Dependency) postgres.Database {
	return postgres.Database{Name: or(d.Database, "app"), Service: or(d.User, "app_service")}
}

// initialise has an image initialise a data directory, as it does where it finds
// none, makes the roles and the database in it, and makes another image that
// holds the result. It returns the superuser's password.
func (b *Backend) initialise(ctx context.Context, d subject.Dependency, image, tag string) (admin string, err error) {
	bare := subject.Dependency{Name: d.Name, Kind: d.Kind, Database: d.Database, User: d.User}
	e := newEnvironment(b, &subject.Subject{Name: d.Name, Dependencies: subject.Dependencies{bare}},
		journal.NewMemory(journal.Header{}), environment.Options{Trial: "database"})
	defer func() { err = errors.Join(err, e.Stop(context.WithoutCancel(ctx))) }()
	if err := errors.Join(e.openNetwork(ctx), e.plan()); err != nil {
		return "", err
	}
	s := e.servers[0]
	s.admin = rand.Text()
	s.image = func(context.Context) (string, error) { return image, nil }
	p, err := s.start(ctx)
	if err != nil {
		return "", err
	}
	if err := s.answered(ctx, p); err != nil {
		return "", err
	}
	folder, err := s.settle(ctx)
	if err != nil {
		return "", err
	}
	data, err := s.archive(ctx, folder)
	if err != nil {
		return "", err
	}
	return s.admin, b.engine.build(ctx, tag, "database", entry{"data.tar", 0o600, data},
		entry{"Dockerfile", 0o644, []byte(initialised(image, folder, s.admin))})
}

// initialised is the Dockerfile of an image with a data directory. The archive's
// owners and modes are kept.
func initialised(image, folder, admin string) string {
	return fmt.Sprintf("FROM %s\nLABEL %s=%s\nADD [\"data.tar\", %q]\n",
		image, labelAdmin, admin, strings.TrimSuffix(path.Dir(folder), "/")+"/")
}

// settle makes the roles and the database, ends the server, and says where its
// data directory is.
func (s *server) settle(ctx context.Context) (folder string, err error) {
	if err := s.database.Make(ctx, s.connect); err != nil {
		return "", err
	}
	c, err := s.connect(ctx, postgres.Superuser, postgres.Superuser)
	if err != nil {
		return "", err
	}
	err = c.QueryRow(ctx, "SHOW data_directory").Scan(&folder)
	if err = errors.Join(err, c.Close(ctx)); err != nil {
		return "", fmt.Errorf("ask for the data directory: %w", err)
	}
	return folder, s.Halt(ctx, s.stopSignal, stopWithin)
}

// archive is a folder of a container, running or not, as a tar archive.
func (b *box) archive(ctx context.Context, folder string) ([]byte, error) {
	answer, err := b.engine.client.CopyFromContainer(ctx, b.id, client.CopyFromContainerOptions{SourcePath: folder})
	if err != nil {
		return nil, fmt.Errorf("copy %s of container %.12s: %w", folder, b.id, err)
	}
	defer answer.Content.Close()
	data, err := io.ReadAll(answer.Content)
	if err != nil {
		return nil, fmt.Errorf("copy %s of container %.12s: %w", folder, b.id, err)
	}
	return data, nil
}
