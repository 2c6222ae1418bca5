package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Migrate runs the .sql files of a folder as the owner, in the order of their
// names. An empty folder name stands for none.
func (d Database) Migrate(ctx context.Context, connect Connect, folder string) (err error) {
	if folder == "" {
		return nil
	}
	files, err := migrations(folder)
	if err != nil {
		return err
	}
	c, err := connect(ctx, d.owner(), d.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	for _, file := range files {
		if err := run(ctx, c, file); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, c *pgx.Conn, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("run migration: %w", err)
	}
	if _, err := c.PgConn().Exec(ctx, up(string(b))).ReadAll(); err != nil {
		return fmt.Errorf("run migration %s: %w", filepath.Base(file), err)
	}
	return nil
}

// migrations lists a folder's files that lead forward.
func migrations(folder string) ([]string, error) {
	if _, err := os.Stat(folder); err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.sql"))
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, ".down.sql") })
	if len(files) == 0 {
		return nil, fmt.Errorf("read migrations: there is no .sql file in %s", folder)
	}
	slices.Sort(files)
	return files, nil
}

// down begins the way back in the files of goose, dbmate and sql-migrate.
var down = regexp.MustCompile(`(?im)^--\s*(\+goose|\+migrate|migrate:)\s*down\b`)

// up is the part of a migration that leads forward.
func up(sql string) string {
	if at := down.FindStringIndex(sql); at != nil {
		return sql[:at[0]]
	}
	return sql
}
