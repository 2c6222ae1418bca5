// Package gobuild has the go command compile a subject's service, and finds
// programs that are there already.
package gobuild

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/host"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/environment/watcher"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Builder compiles services; what has not changed keeps its file.
type Builder struct {
	Host *host.Host
	// Env stands over this process's environment: "CGO_ENABLED=0".
	Env []string

	mu     sync.Mutex
	builds map[string]string // by key, to the binary
}

// Build returns the file of the service's program, built anew when asked or
// when it has not been built yet.
func (b *Builder) Build(
	ctx context.Context, s *subject.Subject, progress environment.Progress, anew bool,
) (string, error) {
	key := b.key(s)
	b.mu.Lock()
	file := b.builds[key]
	b.mu.Unlock()
	if file != "" && !anew {
		return file, nil
	}
	progress.Say("building " + s.Service.Build.Package)
	made, err := b.compile(ctx, s, key)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", s.Service.Build.Package, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := b.builds[key]; last != "" && sameContent(last, made) {
		return last, os.RemoveAll(filepath.Dir(made))
	}
	file = made
	if b.builds == nil {
		b.builds = map[string]string{}
	}
	b.builds[key] = file
	return file, nil
}

// sameContent reports whether two files hold the same.
func sameContent(a, b string) bool {
	sumA, errA := contentSum(a)
	sumB, errB := contentSum(b)
	return errA == nil && errB == nil && bytes.Equal(sumA, sumB)
}

func contentSum(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// FindCommand finds the first word of the service's command: on the PATH, or
// from the service's folder when it holds a slash.
func FindCommand(s *subject.Subject) (string, error) {
	file, err := Find(Dir(s), s.Service.Command[0])
	if err != nil {
		return "", fmt.Errorf("service.command: %w", err)
	}
	return file, nil
}

// Find finds a program, from a folder when its name holds a slash.
func Find(dir, name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		name = Resolve(dir, name)
	}
	return exec.LookPath(name)
}

// Dir is the service's folder, absolute.
func Dir(s *subject.Subject) string { return Resolve(s.Dir, s.Service.Dir) }

// Resolve makes a path absolute that starts from dir.
func Resolve(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

func (b *Builder) key(s *subject.Subject) string {
	build := s.Service.Build
	parts := append([]string{Dir(s), build.Package, build.Overlay, strings.Join(b.Env, " ")}, build.Tags...)
	sum := sha256.Sum256([]byte(strings.Join(append(append(parts, ""), build.Flags...), "\x00")))
	return hex.EncodeToString(sum[:8])
}

// compile has the go command build the service. Without an overlay it builds to
// a fixed place in the cache, where go sees that a binary is up to date and
// need not link it again; what runs is a copy.
func (b *Builder) compile(ctx context.Context, s *subject.Subject, key string) (string, error) {
	dir, err := b.Host.Folder(ctx, "b")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, programName(s.Service.Build.Package))
	if s.Service.Build.Overlay != "" {
		return file, b.goBuild(ctx, s, dir, file)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return file, b.goBuild(ctx, s, dir, file)
	}
	kept := filepath.Join(cache, "seatrial", "builds", key)
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return "", err
	}
	lock := flock.New(filepath.Join(kept, "lock"))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return "", fmt.Errorf("wait for another build of it: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	target := filepath.Join(kept, "service")
	if err := b.goBuild(ctx, s, dir, target); err != nil {
		return "", err
	}
	return file, postgres.CopyFile(target, file)
}

// programName is what the binary is called: the last part of its package.
func programName(pkg string) string {
	name := filepath.Base(filepath.Clean(pkg))
	if name == "." || name == ".." || name == string(filepath.Separator) {
		return "service"
	}
	return name
}

func (b *Builder) goBuild(ctx context.Context, s *subject.Subject, dir, target string) error {
	if err := b.Host.Open(ctx); err != nil {
		return err
	}
	build := s.Service.Build
	args := []string{"build", "-o", target, "-buildvcs=false"}
	if len(build.Tags) > 0 {
		args = append(args, "-tags", strings.Join(build.Tags, ","))
	}
	if build.Overlay != "" {
		args = append(args, "-overlay", Resolve(s.Dir, build.Overlay))
	}
	args = append(append(args, build.Flags...), build.Package)
	cmd := exec.Command("go", args...) //nolint:noctx // killed below, with its group
	if cmd.Err != nil {
		return fmt.Errorf("there is no go command on the PATH; install Go, or set service.command: %w", cmd.Err)
	}
	output, err := os.Create(filepath.Join(dir, "build.log"))
	if err != nil {
		return err
	}
	defer output.Close()
	cmd.Dir, cmd.Stdout, cmd.Stderr = Dir(s), output, output
	// A go command that is killed leaves its own temporary files behind.
	cmd.Env = append(os.Environ(), b.Env...)
	cmd.Env = append(cmd.Env, watcher.ScratchEnv+"="+b.Host.Watcher().Scratch(), "GOTMPDIR="+dir)
	p, err := b.Host.Spawner().StartCommand(cmd, nil, nil)
	if err != nil {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		return errors.Join(err, p.Kill(context.WithoutCancel(ctx)))
	}
	if p.Exit().Code == 0 {
		return nil
	}
	return errors.New(firstErrors(output))
}

// firstErrors is what the compiler said first, in one line.
func firstErrors(output *os.File) string {
	if _, err := output.Seek(0, io.SeekStart); err != nil {
		return err.Error()
	}
	var lines []string
	scan := bufio.NewScanner(io.LimitReader(output, 64<<10))
	for scan.Scan() && len(lines) < 3 {
		if line := strings.TrimSpace(scan.Text()); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "go build did not work and printed nothing"
	}
	return strings.Join(lines, "; ")
}
