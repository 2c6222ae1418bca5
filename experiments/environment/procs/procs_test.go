package procs

import (
	"os"
	"os/exec"
	"testing"
)

func TestOurselves(t *testing.T) {
	me, err := Get(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if me.Start == 0 {
		t.Skip("no /proc here")
	}
	if me.PID != os.Getpid() || me.Parent != os.Getppid() || me.Dead() {
		t.Errorf("%+v", me)
	}
	if !Alive(me.PID, me.Start) || !Alive(me.PID, 0) || Alive(me.PID, me.Start+1) {
		t.Error("Alive is wrong about this process")
	}
	dir := t.TempDir()
	cmd := exec.Command("/bin/sleep", "60")
	cmd.Dir, cmd.Env = dir, []string{"SHIP=Endeavour", "EMPTY="}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kids, err := Children(os.Getpid())
	if err != nil || len(kids) != 1 || kids[0].PID != cmd.Process.Pid {
		t.Errorf("children %+v, %v", kids, err)
	}
	if v, ok := Variable(cmd.Process.Pid, "SHIP"); !ok || v != "Endeavour" {
		t.Errorf("SHIP=%q %v", v, ok)
	}
	if v, ok := Variable(cmd.Process.Pid, "SHI"); ok {
		t.Errorf("SHI=%q", v)
	}
	if got := WorkingDir(cmd.Process.Pid); got != dir {
		t.Errorf("works in %q, want %q", got, dir)
	}
	if err := Kill(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if Alive(cmd.Process.Pid, 0) {
		t.Error("a dead process is alive")
	}
	if err := Kill(cmd.Process.Pid); err != nil {
		t.Error("killed again:", err)
	}
}
