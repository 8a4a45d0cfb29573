package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxDevNodes is how many nodes a cluster on one machine may have. At most three of them vote.
const maxDevNodes = 9

// devNode is one node of a cluster for development: a process of this binary.
type devNode struct {
	id      int
	roles   string
	kafka   string
	control string
	admin   string
	args    []string
	cmd     *exec.Cmd
	output  sync.WaitGroup // copies what it prints
	ended   chan struct{}  // closed when the process is gone
}

// devCluster runs the nodes until a signal, or until all are gone. Nodes that die stay dead: that is what they are for.
func (a *app) devCluster(ctx context.Context, o devOptions, dir string) error {
	if o.nodes < 1 || o.nodes > maxDevNodes {
		return usage("for example --nodes 3", "%d is no number of nodes: it is from 1 to %d", o.nodes, maxDevNodes)
	}
	nodes, err := a.devNodes(ctx, o, dir)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	began := time.Now()
	out := &prefixed{a: a}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	defer func() { stopNodes(nodes, signals) }()
	for _, n := range nodes {
		if err := n.start(self, a.plainEnv(), out); err != nil {
			return fmt.Errorf("start node %d: %w", n.id, err)
		}
	}
	for _, n := range nodes {
		if err := n.awaitReady(signals); err != nil {
			return err
		}
	}
	a.devBanner(nodes, time.Since(began), dir, o.keep == "")
	for i := 0; i < len(nodes); {
		select {
		case <-signals:
			return nil
		case <-nodes[i].ended:
			i++
		}
	}
	return &failure{code: codeFailed, what: "all nodes are gone", next: "See the log above"}
}

// devNodes chooses ports and says how each node is configured.
func (a *app) devNodes(ctx context.Context, o devOptions, dir string) ([]*devNode, error) {
	var nodes []*devNode
	var voters []string
	for id := 1; id <= o.nodes; id++ {
		n := &devNode{id: id, roles: "broker", ended: make(chan struct{})}
		for at, port := range map[*string]int{&n.kafka: 9092, &n.control: 9093, &n.admin: 9091} {
			var err error
			if *at, err = freePort(ctx, port+100*(id-1)); err != nil {
				return nil, err
			}
		}
		if id <= 3 {
			n.roles = "broker,controller"
			voters = append(voters, fmt.Sprintf("%d@%s", id, n.control))
		}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		listeners := "PLAINTEXT://" + n.kafka
		if n.roles != "broker" {
			listeners += ",CONTROLLER://" + n.control
		}
		color, emoji := "never", "off"
		if a.colorful(a.err) {
			color = "always"
		}
		if a.terminal(a.err) && a.unicode() {
			emoji = "on"
		}
		n.args = []string{"serve", "--no-banner", "--color", color}
		for _, set := range []string{
			"node.id=" + strconv.Itoa(n.id), "process.roles=" + n.roles, "controller.quorum.voters=" + strings.Join(voters, ","), "listeners=" + listeners,
			"dmq.admin.listen=" + n.admin, "log.dirs=" + filepath.Join(dir, strconv.Itoa(n.id)), "broker.rack=" + string(rune('a'+n.id-1)),
			"dmq.log.format=console", "dmq.log.emoji=" + emoji,
		} {
			n.args = append(n.args, "--set", set)
		}
		for _, file := range o.files {
			n.args = append(n.args, "--config", file)
		}
		for _, set := range o.set {
			n.args = append(n.args, "--set", set)
		}
		if o.strict {
			n.args = append(n.args, "--strict")
		}
	}
	return nodes, nil
}

// freePort is an address on loopback that nobody listens at: with the port, or else any. Other nodes are told it before the
// node binds it, so it cannot be left to the node.
func freePort(ctx context.Context, port int) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", freeOr(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))))
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (n *devNode) start(self string, env []string, out *prefixed) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	n.cmd = exec.Command(self, n.args...) //nolint:noctx // it is asked to stop, not killed
	n.cmd.Args[0] = "dmq"
	n.cmd.Env, n.cmd.Stdout, n.cmd.Stderr = env, w, w
	if err := n.cmd.Start(); err != nil {
		n.cmd = nil
		return errors.Join(err, r.Close(), w.Close())
	}
	n.output.Go(func() {
		out.copy(n.id, r)
		_ = r.Close() // it was read to its end
	})
	n.output.Go(func() {
		err := n.cmd.Wait()
		if err == nil {
			err = errors.New("exit 0")
		}
		out.line(n.id, "ended: "+err.Error()+"   Start it again: dmq "+strings.Join(n.args, " "))
		close(n.ended)
	})
	return w.Close()
}

func (n *devNode) running() bool {
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// readyInterval is how often a node is asked whether it is ready.
const readyInterval = 50 * time.Millisecond

// awaitReady returns when the node serves clients. That it ended, or a signal, is an error.
func (n *devNode) awaitReady(signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.admin+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close() // only the status is of interest
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case s := <-signals:
			return &failure{code: (&interrupted{s}).code(), what: "interrupted before the cluster was ready"}
		case <-n.ended:
			return &failure{code: codeFailed, what: fmt.Sprintf("node %d did not start", n.id), next: "See the log above"}
		case <-ctx.Done():
			return &failure{code: codeUnreachable, what: fmt.Sprintf("node %d is not ready after a minute", n.id), next: "See the log above"}
		}
	}
}

// stopNodes stops all gracefully, at once; a second signal kills them.
func stopNodes(nodes []*devNode, signals <-chan os.Signal) {
	for _, n := range nodes {
		if n.cmd != nil && n.running() && n.cmd.Process.Signal(syscall.SIGTERM) != nil {
			_ = n.cmd.Process.Kill() // a system without SIGTERM, or it is gone
		}
	}
	stopped := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		if secondSignal(signals, stopped) != nil {
			for _, n := range nodes {
				if n.cmd != nil {
					_ = n.cmd.Process.Kill() // it may be gone
				}
			}
		}
	})
	for _, n := range nodes {
		n.output.Wait()
	}
	close(stopped)
	watcher.Wait()
}

func (a *app) devBanner(nodes []*devNode, took time.Duration, dir string, throwAway bool) {
	var servers []string
	for _, n := range nodes {
		servers = append(servers, n.kafka)
	}
	data := dir
	if throwAway {
		data += " (deleted at exit; keep with --keep DIR)"
	}
	bootstrap := strings.Join(servers, ",")
	a.say("%sCluster of %s ready in %s   data: %s\n", a.sign("✅ "), count(len(nodes), "node"), took.Round(time.Millisecond), data)
	a.say("   Kafka       %s   try:  export DMQ_BROKERS=%s; dmq cluster status\n", a.paint(a.err, bold, bootstrap), bootstrap)
	for _, n := range nodes {
		a.say("   Node %d      pid %d, rack %c, %s, admin http://%s\n", n.id, n.cmd.Process.Pid, 'a'+n.id-1, n.roles, n.admin)
	}
	a.say("%s%s\n", a.sign("⚠️ "), a.paint(a.err, yellow, "Developer mode: no TLS and no login; only this machine can connect. Ctrl-C stops all nodes"))
}

// prefixed prints lines of several processes, each with its node in front.
type prefixed struct {
	a  *app
	mu sync.Mutex // one line at a time
}

func (p *prefixed) copy(id int, r io.Reader) {
	for in := bufio.NewReader(r); ; {
		text, err := in.ReadString('\n')
		if text != "" {
			p.line(id, strings.TrimSuffix(text, "\n"))
		}
		if err != nil {
			return
		}
	}
}

// line prints one line. The colours go round from green.
func (p *prefixed) line(id int, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.a.say("%s %s\n", p.a.paint(p.a.err, strconv.Itoa(32+(id-1)%5), fmt.Sprintf("node %d |", id)), text)
}
