package process

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
	"time"

	"github.com/gofrs/flock"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/environment/watcher"
	"github.com/seatrial/seatrial/experiments/subject"
)

// build returns the file of the service's program, built anew when asked or
// when it has not been built yet.
func (b *Backend) build(
	ctx context.Context, s *subject.Subject, progress environment.Progress, anew bool,
) (string, error) {
	if s.Service.Build == nil {
		return findProgram(s)
	}
	key := buildKey(s)
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

// findProgram finds the first word of the service's command: on the PATH, or
// from the service's folder when it holds a slash.
func findProgram(s *subject.Subject) (string, error) {
	file, err := lookProgram(serviceDir(s), s.Service.Command[0])
	if err != nil {
		return "", fmt.Errorf("service.command: %w", err)
	}
	return file, nil
}

func lookProgram(dir, name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		name = resolve(dir, name)
	}
	return exec.LookPath(name)
}

func buildKey(s *subject.Subject) string {
	build := s.Service.Build
	parts := append([]string{serviceDir(s), build.Package, build.Overlay}, build.Tags...)
	sum := sha256.Sum256([]byte(strings.Join(append(append(parts, ""), build.Flags...), "\x00")))
	return hex.EncodeToString(sum[:8])
}

// compile has the go command build the service. Without an overlay it builds to
// a fixed place in the cache, where go sees that a binary is up to date and
// need not link it again; what runs is a copy.
func (b *Backend) compile(ctx context.Context, s *subject.Subject, key string) (string, error) {
	dir, err := b.folder(ctx, "b")
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

func (b *Backend) goBuild(ctx context.Context, s *subject.Subject, dir, target string) error {
	h, err := b.open(ctx)
	if err != nil {
		return err
	}
	build := s.Service.Build
	args := []string{"build", "-o", target, "-buildvcs=false"}
	if len(build.Tags) > 0 {
		args = append(args, "-tags", strings.Join(build.Tags, ","))
	}
	if build.Overlay != "" {
		args = append(args, "-overlay", resolve(s.Dir, build.Overlay))
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
	cmd.Dir, cmd.Stdout, cmd.Stderr = serviceDir(s), output, output
	// A go command that is killed leaves its own temporary files behind.
	cmd.Env = append(os.Environ(), watcher.ScratchEnv+"="+h.watcher.Scratch(), "GOTMPDIR="+dir)
	p, err := h.spawner.StartCommand(cmd, nil, nil)
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
