package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/distributedmq/dmq/compat-tests/peer"
)

// runTools runs Kafka's own tools for clusters against three nodes of which one is a voter: compat tools [-broker dmq|kafka].
func runTools(ctx context.Context, args []string) (code int, err error) {
	fs := flag.NewFlagSet("tools", flag.ContinueOnError)
	kind := fs.String("broker", "dmq", "the broker to start: dmq or kafka")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	root, err := peer.Root()
	if err != nil {
		return 0, err
	}
	h, err := peer.KafkaHome(ctx)
	if err != nil {
		return 0, err
	}
	c, done, err := startNodes(ctx, *kind, 3, peer.ClusterOptions{Dynamic: true, Racks: true})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, done()) }()
	var controllers, dirs []string
	for _, b := range c.Nodes {
		controllers, dirs = append(controllers, b.ControllerAddr), append(dirs, b.DataDir)
	}
	command := java(root, h, "cluster", c.Bootstrap(), filepath.Join(string(h), "tools"), strings.Join(controllers, ","), strings.Join(dirs, ","))
	return obey(ctx, c, exec.CommandContext(ctx, command[0], command[1:]...))
}

// obey runs a program and does what it asks for: a line "@stop 3" or "@start 3" on its standard output is answered with ok, or
// with what went wrong; everything else is shown. It returns the exit code.
func obey(ctx context.Context, c *peer.Cluster, cmd *exec.Cmd) (int, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := peer.StartProcess(cmd); err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		order, ok := strings.CutPrefix(lines.Text(), "@")
		if !ok {
			fmt.Println(lines.Text())
			continue
		}
		answer := "ok"
		if err := follow(ctx, c, order); err != nil {
			answer = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if _, err := io.WriteString(in, answer+"\n"); err != nil {
			return 0, errors.Join(err, cmd.Wait())
		}
	}
	err = errors.Join(lines.Err(), cmd.Wait())
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// follow stops or starts a node.
func follow(ctx context.Context, c *peer.Cluster, order string) error {
	var what string
	var id int32
	if _, err := fmt.Sscanf(order, "%s %d", &what, &id); err != nil || id < 1 || int(id) > len(c.Nodes) {
		return fmt.Errorf("an order %q", order)
	}
	switch what {
	case "stop":
		return c.Node(id).Stop()
	case "start":
		return errors.Join(c.Node(id).Restart(ctx), c.Formed(ctx))
	}
	return fmt.Errorf("an order %q", order)
}
