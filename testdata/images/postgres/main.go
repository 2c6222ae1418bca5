// Command postgres is the entry point of the local stand-in for the official
// PostgreSQL image. It knows POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and
// PGDATA, initialises a data directory that is empty, and becomes the server.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// uid is postgres in the image's passwd.
const uid = 999

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "entry point:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		args = []string{"postgres"}
	}
	data := or("PGDATA", "/var/lib/postgresql/data")
	if os.Getuid() == 0 {
		if err := becomePostgres(data); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); errors.Is(err, os.ErrNotExist) {
		if err := initialise(data); err != nil {
			return err
		}
	}
	program, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(program, append(args, "-D", data, "-c", "listen_addresses=*"), os.Environ())
}

func becomePostgres(data string) error {
	for _, dir := range []string{data, "/var/run/postgresql"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.Chown(dir, uid, uid); err != nil {
			return err
		}
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid))
}

func initialise(data string) error {
	password := os.Getenv("POSTGRES_PASSWORD")
	if password == "" {
		return errors.New("POSTGRES_PASSWORD is not set")
	}
	file := filepath.Join(os.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		return err
	}
	defer os.Remove(file)
	user := or("POSTGRES_USER", "postgres")
	initdb := exec.Command("initdb", "-D", data, "-U", user, "--pwfile", file, "--encoding=UTF8", "--locale=C.UTF-8",
		"--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256")
	initdb.Stdout, initdb.Stderr = os.Stdout, os.Stderr
	if err := initdb.Run(); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	hba, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = hba.WriteString("host all all all scram-sha-256\n")
	if err := errors.Join(err, hba.Close()); err != nil {
		return err
	}
	if db := or("POSTGRES_DB", user); db != "postgres" {
		single := exec.Command("postgres", "--single", "-D", data, "postgres")
		single.Stdin = strings.NewReader(`CREATE DATABASE "` + strings.ReplaceAll(db, `"`, `""`) + "\"\n")
		single.Stderr = os.Stderr
		return single.Run()
	}
	return nil
}

func or(name, other string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return other
}
