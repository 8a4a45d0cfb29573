package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Broker is one broker process.
type Broker struct {
	Kind           string // "kafka" or "dmq"
	ID             int32  // node.id
	Addr           string // of the client listener
	ControllerAddr string // of the controller listener
	AdminAddr      string // dmq's admin port, empty for Kafka
	Dir            string // configuration and log of the process
	DataDir        string // log.dirs
	StartTook      time.Duration

	command   func() *exec.Cmd
	configure func(properties map[string]string) error // what Options.Properties was
	cmd       *exec.Cmd
	exited    chan error // closed after the one result was sent
}

// LogFile is where the process writes its log.
func (b *Broker) LogFile() string { return filepath.Join(b.Dir, b.Kind+".log") }

// PID is the id of the running process.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

// start runs the process and waits until it answers ApiVersions.
func (b *Broker) start(ctx context.Context) error {
	began := time.Now()
	if err := b.Launch(); err != nil {
		return err
	}
	err := b.Await(ctx)
	b.StartTook = time.Since(began)
	return err
}

// Launch runs the process, without waiting until it answers: Await does.
func (b *Broker) Launch() error {
	f, err := os.OpenFile(b.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close() // the process has its own descriptor
	cmd := b.command()
	cmd.Stdout, cmd.Stderr = f, f
	// A broker dies with the test that started it, whatever becomes of the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := StartProcess(cmd); err != nil {
		return fmt.Errorf("start %s: %w", b.Kind, err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait(); close(exited) }() // ends with the process
	b.cmd, b.exited = cmd, exited
	return nil
}

// Await waits until the process answers ApiVersions. One that does not in a minute is killed.
func (b *Broker) Await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if err := b.waitReady(ctx); err != nil {
		return errors.Join(err, b.Kill())
	}
	return nil
}

// apiVersionsV0 is a whole ApiVersions v0 request: the cheapest question every broker answers.
var apiVersionsV0 = []byte{0, 0, 0, 14, 0, 18, 0, 0, 0, 0, 0, 7, 0, 4, 'w', 'a', 'i', 't'}

func (b *Broker) waitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		last := ask(ctx, b.Addr)
		if last == nil {
			return nil
		}
		select {
		case err := <-b.exited:
			return fmt.Errorf("%s ended before it answered: %v\n%s", b.Kind, err, b.LogTail(30))
		case <-ctx.Done():
			return fmt.Errorf("wait for %s at %s: %w (%v)\n%s", b.Kind, b.Addr, ctx.Err(), last, b.LogTail(30))
		case <-tick.C:
		}
	}
}

// ask sends ApiVersions and reads the answer.
func ask(ctx context.Context, addr string) error {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(apiVersionsV0); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 10))
	return err
}

// LogTail returns the last n lines of the process's log.
func (b *Broker) LogTail(n int) string {
	text, err := os.ReadFile(b.LogFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Running tells whether the process is there.
func (b *Broker) Running() bool {
	if b.exited == nil {
		return false
	}
	select {
	case <-b.exited:
		return false
	default:
		return true
	}
}

// Kill ends the process at once, as kill -9 does, and returns when it is gone.
func (b *Broker) Kill() error {
	if err := b.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-b.exited
	return nil
}

// Stop asks the process to end (SIGTERM) and returns when it has. One that does not end in 60 s is killed and reported.
func (b *Broker) Stop() error {
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-b.exited:
		return nil
	case <-time.After(60 * time.Second):
		return errors.Join(fmt.Errorf("stop %s: still there 60 s after SIGTERM\n%s", b.Kind, b.LogTail(20)), b.Kill())
	}
}

// Restart starts a process that has ended again, on the same folders and ports.
func (b *Broker) Restart(ctx context.Context) error { return b.start(ctx) }

// Reconfigure has the next start use other properties than those of Options.
func (b *Broker) Reconfigure(properties map[string]string) error { return b.configure(properties) }

// Signal sends a signal to the process.
func (b *Broker) Signal(s syscall.Signal) error { return b.cmd.Process.Signal(s) }
