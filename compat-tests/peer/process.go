package peer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a program that is run, ended and run again, with what it says in a file. It is used from one goroutine.
type Process struct {
	Name    string           // in errors
	LogFile string           // where the program's output goes
	Command func() *exec.Cmd // what is run

	cmd    *exec.Cmd
	exited chan error // closed after the one result was sent
}

// Launch runs the program, without waiting for anything.
func (p *Process) Launch() error {
	f, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close() // the process has its own descriptor
	cmd := p.Command()
	cmd.Stdout, cmd.Stderr = f, f
	if err := StartProcess(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait(); close(exited) }() // ends with the process
	p.cmd, p.exited = cmd, exited
	return nil
}

// StartProcess starts cmd so that it dies with this process, whatever becomes of that: from an OS thread that lives as long as
// this process, since the kernel sends Pdeathsig when the thread that started the child ends, not when the process does, and Go
// ends threads of its own accord.
func StartProcess(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		_ = cmd.Process // the thread stays parked here until the process ends
		select {}
	}()
	return <-started
}

// PID is the id of the running process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Running tells whether the process is there.
func (p *Process) Running() bool {
	if p.exited == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Signal sends a signal to the process. One that has ended gets none.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	return nil
}

// Kill ends the process at once, as kill -9 does, and returns when it is gone.
func (p *Process) Kill() error {
	if p.cmd == nil {
		return nil
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	return nil
}

// Stop asks the process to end (SIGTERM) and returns when it has. One that does not end in 60 s is reported, leaves what it is doing
// in its log (SIGQUIT), and is killed.
func (p *Process) Stop() error {
	if p.cmd == nil {
		return nil
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(60 * time.Second):
		err := fmt.Errorf("stop %s: still there 60 s after SIGTERM, see its goroutines in %s\n%s", p.Name, p.LogFile, p.LogTail(20))
		err = errors.Join(err, p.Signal(syscall.SIGQUIT))
		select {
		case <-p.exited:
		case <-time.After(5 * time.Second):
		}
		return errors.Join(err, p.Kill())
	}
}

// LogTail returns the last n lines of the process's log.
func (p *Process) LogTail(n int) string {
	text, err := os.ReadFile(p.LogFile)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
