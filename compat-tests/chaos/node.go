package chaos

import (
	"context"
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
	peer.Process
	id   int
	dir  string     // its configuration and log
	data string     // log.dirs
	disk *disk.Disk // nil: a folder of the machine's own disk
	bin  string
	env  []string
	net  network

	paused bool // by freeze
}

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

// command is the process.
func (n *node) command() *exec.Cmd {
	cmd := n.net.command(n.id, n.bin, "serve", "--config", filepath.Join(n.dir, "dmq.properties"))
	cmd.Dir, cmd.Env = n.dir, append(peer.Environ(), n.env...)
	return cmd
}

// start starts the process and does not wait for it to serve.
func (n *node) start() error {
	n.paused = false
	return n.Launch()
}

// freeze stops every thread of the process and returns when none runs any more: from then on it says nothing to anybody.
func (n *node) freeze(ctx context.Context) error {
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	n.paused = true
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return await(ctx, fmt.Sprintf("stop the threads of node %d", n.id), func() error {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.PID()))
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
	return n.Signal(syscall.SIGCONT)
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
