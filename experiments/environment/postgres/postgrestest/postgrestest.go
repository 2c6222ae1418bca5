// Package postgrestest starts one real PostgreSQL server for the tests of a
// package.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// server is the one Postgres of this test binary.
var server struct {
	once    sync.Once
	address string
	err     error
	dir     string
	cmd     *exec.Cmd
}

// Start starts it once and returns its address; where there are no server
// binaries it skips the test. It trusts everybody on 127.0.0.1, and has a
// database app with a table orders, which the role app_service may use. Call
// [Stop] at the end of TestMain.
func Start(t testing.TB) string {
	t.Helper()
	programs, err := bin()
	if err != nil {
		t.Skip(err)
	}
	server.once.Do(func() {
		server.err = boot(context.WithoutCancel(t.Context()), programs) // the server outlives this test
	})
	if server.err != nil {
		t.Fatal(server.err)
	}
	return server.address
}

// bin is the folder of the newest server binaries on this machine.
func bin() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errors.New("no PostgreSQL server binaries on this machine; install postgresql")
	}
	return filepath.Dir(slices.Max(found)), nil
}

// unprivileged is who runs the server: initdb refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("root cannot run PostgreSQL, and there is no user postgres or nobody")
}

func boot(ctx context.Context, bin string) error {
	who, err := unprivileged()
	if err != nil {
		return err
	}
	if server.dir, err = os.MkdirTemp("", "seatrial-postgrestest-"); err != nil {
		return err
	}
	if who != nil {
		if err := os.Chown(server.dir, int(who.Uid), int(who.Gid)); err != nil {
			return err
		}
	}
	as := func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
		cmd.Dir = server.dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
		return cmd
	}
	data := filepath.Join(server.dir, "data")
	if out, err := as("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server.address = l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(server.address)
	server.cmd = as("postgres", "-D", data, "-h", "127.0.0.1", "-p", port, "-k", "",
		"-c", "max_connections=40", "-c", "fsync=off", "-c", "shared_buffers=8MB")
	if err := server.cmd.Start(); err != nil {
		return err
	}
	return populate(ctx)
}

func populate(ctx context.Context) error {
	var err error
	for range 200 {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		err = execute(ctx, "postgres", "CREATE ROLE app_service LOGIN", "CREATE DATABASE app")
		if err == nil {
			err = execute(ctx, "app", "CREATE TABLE orders (id int)", "GRANT ALL ON orders TO app_service")
			cancel()
			return err
		}
		cancel()
		<-time.After(50 * time.Millisecond)
	}
	return err
}

func execute(ctx context.Context, database string, statements ...string) error {
	conn, err := pgx.Connect(ctx, "postgres://postgres@"+server.address+"/"+database+"?sslmode=disable")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends it and removes its folder.
func Stop() {
	if server.cmd != nil && server.cmd.Process != nil {
		_ = server.cmd.Process.Signal(syscall.SIGINT)
		_ = server.cmd.Wait()
	}
	if server.dir != "" {
		_ = os.RemoveAll(server.dir)
	}
}
