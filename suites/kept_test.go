package suites_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// readKept reads what a long series has kept in a file of JSON; nothing where
// there is none yet.
func readKept[T any](t *testing.T, file string) (kept []T) {
	t.Helper()
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &kept)
	}
	if err != nil {
		t.Fatalf("read %s: %v; remove it to begin anew", file, err)
	}
	return kept
}

// keep writes it.
func keep[T any](file string, kept []T) error {
	b, err := json.MarshalIndent(kept, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}
