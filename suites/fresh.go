package suites

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// began is where the test binary was started: go test starts it in its
// package's folder.
var began, _ = os.Getwd()

// neverCached keeps go test from answering with an earlier result: it knows
// nothing of the service that is built here.
//
// A passed test is answered from the cache while the files that it has opened,
// those of its own module, are as they were. It is not even kept when one of
// them was changed less than two seconds before its end (cmd/go/internal/test,
// modTimeCutoff), which a file whose time lies in the future always was. So
// that file must be within the module: it is in the trials' folder (out, an
// absolute path) where that is, otherwise in runs at the module's root.
func neverCached(out string) error {
	root := moduleRoot(began)
	if root == "" {
		return nil // not started by go test within a module: nothing is cached
	}
	dir := out
	if !within(root, dir) {
		dir = filepath.Join(root, "runs")
	}
	if err := makeIgnored(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, ".never-cached")
	if err := os.WriteFile(path, []byte("keeps go test from caching a trial\n"), 0o600); err != nil {
		return fmt.Errorf("keep go test from caching the trial: %w", err)
	}
	future := time.Now().AddDate(1, 0, 0)
	if err := os.Chtimes(path, future, future); err != nil {
		return fmt.Errorf("keep go test from caching the trial: %w", err)
	}
	return nil
}

// makeIgnored makes a folder, where there is none, that git leaves alone.
func makeIgnored(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, folder.Mode); err != nil {
		return fmt.Errorf("make the folder for trials: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o600); err != nil {
		return fmt.Errorf("make the folder for trials: %w", err)
	}
	return nil
}

// moduleRoot is the nearest folder upward that holds a go.mod; empty without
// one.
func moduleRoot(dir string) string {
	for dir != "" {
		if info, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil && !info.IsDir() {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
	return ""
}

func within(root, dir string) bool {
	rel, err := filepath.Rel(root, dir)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
