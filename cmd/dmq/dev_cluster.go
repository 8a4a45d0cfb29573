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
	"slices"
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
	deaths := make(chan *devNode, len(nodes))
	for _, n := range nodes {
		if err := n.start(self, a.plainEnv(), out, deaths); err != nil {
			return fmt.Errorf("start node %d: %w", n.id, err)
		}
	}
	for _, n := range nodes {
		if err := n.awaitReady(signals, deaths); err != nil {
			return err
		}
	}
	a.devBanner(nodes, time.Since(began), dir, o.keep == "")
	for range nodes {
		select {
		case <-signals:
			return nil
		case <-deaths:
		}
	}
	if signalled(signals) != nil {
		return nil
	}
	return &failure{code: codeFailed, what: "all nodes are gone", next: "See the log above"}
}

// signalGrace is how much later than a node's end the signal may be noticed that ended it: Ctrl-C goes to all of a terminal's processes.
const signalGrace = 200 * time.Millisecond

// signalled returns the signal that came, or comes within the grace; nil when none does.
func signalled(signals <-chan os.Signal) os.Signal {
	select {
	case s := <-signals:
		return s
	case <-time.After(signalGrace):
		return nil
	}
}

// devNodes chooses ports and says how each node is configured.
func (a *app) devNodes(ctx context.Context, o devOptions, dir string) ([]*devNode, error) {
	var nodes []*devNode
	var voters []string
	var ports heldPorts
	defer ports.release()
	for id := 1; id <= o.nodes; id++ {
		n := &devNode{id: id, roles: "broker", ended: make(chan struct{})}
		for at, port := range map[*string]int{&n.kafka: 9092, &n.control: 9093, &n.admin: 9091} {
			var err error
			if *at, err = ports.hold(ctx, port+100*(id-1)); err != nil {
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

// heldPorts are ports that were chosen for nodes. Other nodes are told them before a node binds its own, so that cannot be left to
// the nodes. All are held until the last is chosen: else the system might give one out twice. Not safe for concurrent use.
type heldPorts []net.Listener

// hold returns an address on loopback that nobody listens at: with the port, or else any.
func (h *heldPorts) hold(ctx context.Context, port int) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", err
	}
	*h = append(*h, l)
	return l.Addr().String(), nil
}

func (h *heldPorts) release() {
	for _, l := range *h {
		_ = l.Close() // nobody has connected
	}
	*h = nil
}

// listen is net.Listen for a node in this process: a port that is held becomes the node's without being free in between. One that
// listens elsewhere, as it is configured to, may need a port that is held.
func (h *heldPorts) listen(ctx context.Context, network, address string) (net.Listener, error) {
	for i, l := range *h {
		if l.Addr().String() == address {
			*h = slices.Delete(*h, i, i+1)
			return l, nil
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	if err != nil && len(*h) > 0 {
		h.release()
		return new(net.ListenConfig).Listen(ctx, network, address)
	}
	return l, err
}

// start begins the process. Its end is told to deaths, which has to have room.
func (n *devNode) start(self string, env []string, out *prefixed, deaths chan<- *devNode) error {
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
		deaths <- n
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

// awaitReady returns when the node serves clients. A signal, or that one of the nodes ended, is an error.
func (n *devNode) awaitReady(signals <-chan os.Signal, deaths <-chan *devNode) error {
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
			return interruptedStart(s)
		case dead := <-deaths:
			if s := signalled(signals); s != nil {
				return interruptedStart(s)
			}
			return &failure{code: codeFailed, what: fmt.Sprintf("node %d did not start", dead.id), next: "See the log above"}
		case <-ctx.Done():
			return &failure{code: codeUnreachable, what: fmt.Sprintf("node %d is not ready after a minute", n.id), next: "See the log above"}
		}
	}
}

func interruptedStart(s os.Signal) error {
	return &failure{code: (&interrupted{s}).code(), what: "interrupted before the cluster was ready"}
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
