package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/distributedmq/dmq/compat-tests/disk"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// node is one process of the cluster and what it runs on.
type node struct {
	id   int
	dir  string     // its configuration and log
	data string     // log.dirs
	disk *disk.Disk // nil: a folder of the machine's own disk
	bin  string
	env  []string
	net  network

	cmd    *exec.Cmd
	exited chan error // the one result of the process, then closed
	paused bool
}

func (n *node) logFile() string { return filepath.Join(n.dir, "dmq.log") }

// configure writes the node's properties.
func (n *node) configure(base map[string]string) error {
	listens, advertises := n.net.listens(n.id), n.net.advertises(n.id)
	lines := []string{
		"process.roles=broker,controller", "node.id=" + strconv.Itoa(n.id),
		"listeners=PLAINTEXT://" + listens.client + ",CONTROLLER://" + listens.controller,
		"advertised.listeners=PLAINTEXT://" + advertises.client + ",CONTROLLER://" + advertises.controller,
		"controller.listener.names=CONTROLLER", "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs=" + n.data,
	}
	for k, v := range base {
		lines = append(lines, k+"="+v)
	}
	slices.Sort(lines)
	return os.WriteFile(filepath.Join(n.dir, "dmq.properties"), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// start starts the process and does not wait for it to serve.
func (n *node) start() error {
	f, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close() // the process has its own descriptor
	cmd := n.net.command(n.id, n.bin, "serve", "--config", filepath.Join(n.dir, "dmq.properties"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = n.dir, f, f
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { // dmq reads these as properties
		return strings.HasPrefix(kv, "DMQ_") || strings.HasPrefix(kv, "KAFKA_")
	}), n.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := peer.StartProcess(cmd); err != nil {
		return fmt.Errorf("start node %d: %w", n.id, err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait(); close(exited) }() // ends with the process
	n.cmd, n.exited, n.paused = cmd, exited, false
	return nil
}

// running reports whether the process is there.
func (n *node) running() bool {
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

func (n *node) signal(s syscall.Signal) error {
	if err := n.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal node %d: %w", n.id, err)
	}
	return nil
}

// kill ends the process at once and returns when it is gone.
func (n *node) kill() error {
	if n.cmd == nil {
		return nil
	}
	err := n.signal(syscall.SIGKILL)
	<-n.exited
	return err
}

// stop asks the process to end and returns when it has.
func (n *node) stop() error {
	if err := n.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-n.exited:
		return nil
	case <-time.After(60 * time.Second):
		return errors.Join(fmt.Errorf("node %d is still there 60 s after SIGTERM\n%s", n.id, n.logTail(20)), n.kill())
	}
}

// freeze stops every thread of the process and returns when none runs any more: from then on it says nothing to anybody.
func (n *node) freeze(ctx context.Context) error {
	if err := n.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	n.paused = true
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return await(ctx, fmt.Sprintf("stop the threads of node %d", n.id), func() error {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.cmd.Process.Pid))
		if err != nil {
			return err
		}
		for _, t := range tasks {
			stat, err := os.ReadFile(t)
			if err != nil {
				continue // it has ended
			}
			_, after, _ := strings.Cut(string(stat), ") ")
			if !strings.HasPrefix(after, "T") && !strings.HasPrefix(after, "D") && !strings.HasPrefix(after, "Z") {
				return fmt.Errorf("a thread is in state %.1s", after)
			}
		}
		return nil
	})
}

func (n *node) thaw() error {
	n.paused = false
	return n.signal(syscall.SIGCONT)
}

// logTail returns the last lines of the process's log.
func (n *node) logTail(lines int) string {
	text, err := os.ReadFile(n.logFile())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// await tries until fn returns nil or the context ends, and says what it waited for.
func await(ctx context.Context, what string, fn func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := fn()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (%w)", what, err, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
