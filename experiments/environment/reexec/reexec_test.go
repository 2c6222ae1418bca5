package reexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

var (
	_ = Register("echo", func(_ context.Context, args []string) error {
		_, set := os.LookupEnv(Env)
		_, err := fmt.Fprint(os.Stdout, strings.Join(args, " "), set)
		return err
	})
	_ = Register("broken", func(context.Context, []string) error { return errors.New("out of rope") })
)

func TestMain(m *testing.M) {
	before := hooked.Load()
	_, errBefore := Command(context.Background(), "echo")
	Hook()
	if before || !errors.Is(errBefore, ErrNoHook) {
		fmt.Fprintln(os.Stderr, "Command worked before Hook was called:", errBefore)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestCommandPlaysTheRole(t *testing.T) {
	cmd, err := Command(t.Context(), "echo", "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out), "a bfalse"; got != want {
		t.Errorf("the role printed %q, want %q: the variable must not be passed on", got, want)
	}
}

func TestARolesErrorIsItsExit(t *testing.T) {
	cmd, err := Command(t.Context(), "broken")
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("exit %v, want status 1", err)
	}
	if got, want := string(out), "seatrial broken: out of rope\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestUnknownRole(t *testing.T) {
	if _, err := Command(t.Context(), "cook"); err == nil || !strings.Contains(err.Error(), "[broken echo]") {
		t.Errorf("got %v, want an error that lists the roles", err)
	}
	if got := play("cook", nil); got != 64 {
		t.Errorf("play returned %d, want 64", got)
	}
}

func TestRegisterTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Register("echo", nil)
}
