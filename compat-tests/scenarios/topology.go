package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/distributedmq/dmq/compat-tests/peer"
)

// Timers are those of brokers' sessions.
type Timers struct{ Heartbeat, Timeout time.Duration }

// Topology is the processes of a services.json.
type Topology struct {
	Dir         string
	Controllers []*Node
	Brokers     []*Node
	Timers      Timers
}

// Node is one process.
type Node struct {
	ID    int32
	URL   string // of the admin port
	Kafka string // of a broker: host:port

	dir    string
	args   []string
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended; nil: it was never started
}

// patience bounds how long anything may take.
const patience = time.Minute

// entry is a service in the file.
type entry struct {
	ID             int32  `json:"id"`
	Host           string `json:"host"`
	Port           int    `json:"port"`
	URL            string `json:"url"`
	ControllerPort int    `json:"controllerPort,omitempty"`
	KafkaPort      int    `json:"kafkaPort,omitempty"`
}

// NewTopology writes the file for controllers 1, 2… and brokers 101, 102… that nobody has started. set are further properties.
func NewTopology(bin, dir string, controllers, brokers int, timers Timers, set ...string) (*Topology, error) {
	t := &Topology{Dir: dir, Timers: timers}
	var metadata, storage []entry
	file := filepath.Join(dir, "services.json")
	add := func(id int32, controller bool) error {
		port, err := peer.FreePort()
		if err != nil {
			return err
		}
		second, err := peer.FreePort()
		if err != nil {
			return err
		}
		url := fmt.Sprintf("http://127.0.0.1:%d", port)
		e := entry{ID: id, Host: "127.0.0.1", Port: port, URL: url}
		n := &Node{ID: id, URL: url, dir: dir, args: []string{bin, "serve", "--services", file, "--id", fmt.Sprint(id)}}
		for _, kv := range set {
			n.args = append(n.args, "--set", kv)
		}
		if controller {
			e.ControllerPort = second
			metadata, t.Controllers = append(metadata, e), append(t.Controllers, n)
			return nil
		}
		e.KafkaPort, n.Kafka = second, fmt.Sprintf("127.0.0.1:%d", second)
		storage, t.Brokers = append(storage, e), append(t.Brokers, n)
		return nil
	}
	for i := range controllers {
		if err := add(int32(i+1), true); err != nil {
			return nil, err
		}
	}
	for i := range brokers {
		if err := add(int32(i+101), false); err != nil {
			return nil, err
		}
	}
	text, err := json.MarshalIndent(map[string]any{
		"services":   map[string]any{"metadata-services": metadata, "storage-services": storage},
		"controller": map[string]any{"electionTimeoutMs": timers.Heartbeat.Milliseconds()},
		"metadata":   map[string]any{"sync": map[string]any{"heartbeatIntervalMs": timers.Heartbeat.Milliseconds(), "syncTimeoutMs": timers.Timeout.Milliseconds()}},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	return t, os.WriteFile(file, text, 0o644)
}

// all lists the nodes.
func (t *Topology) all() []*Node { return slices.Concat(t.Controllers, t.Brokers) }

// Node returns the node of that id.
func (t *Topology) Node(id int32) *Node {
	for _, n := range t.all() {
		if n.ID == id {
			return n
		}
	}
	return nil
}

// Close kills what runs.
func (t *Topology) Close() error {
	var errs []error
	for _, n := range t.all() {
		errs = append(errs, n.Kill())
	}
	return errors.Join(errs...)
}

// LogTails are the last lines of every node's log.
func (t *Topology) LogTails(lines int) string {
	var b strings.Builder
	for _, n := range t.all() {
		text, err := n.log()
		if err != nil {
			continue
		}
		all := strings.Split(strings.TrimSpace(text), "\n")
		fmt.Fprintf(&b, "-- node %d\n%s\n", n.ID, strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
	return b.String()
}

// Start runs the process.
func (n *Node) Start() error {
	f, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close() // the process has its own descriptor
	cmd := exec.Command(n.args[0], n.args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = n.dir, f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := peer.StartProcess(cmd); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() { // ends with the process
		defer close(exited)
		_ = cmd.Wait()
	}()
	n.cmd, n.exited = cmd, exited
	return nil
}

// Kill ends the process at once, as kill -9 does. One that does not run stays as it is.
func (n *Node) Kill() error {
	if n.exited == nil {
		return nil
	}
	if err := n.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-n.exited
	return nil
}

func (n *Node) logFile() string { return filepath.Join(n.dir, fmt.Sprintf("%d.log", n.ID)) }

func (n *Node) log() (string, error) {
	text, err := os.ReadFile(n.logFile())
	return string(text), err
}

// logged counts the lines of the node's log that hold all parts.
func (n *Node) logged(parts ...string) (count int, err error) {
	text, err := n.log()
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			count++
		}
	}
	return count, err
}

// memory is what the process has resident, in bytes, and what of that is its own: the rest is pages of the program's file, which all
// nodes of a machine share.
func (n *Node) memory() (resident, own int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	var size, shared int64
	if _, err := fmt.Fscan(bytes.NewReader(text), &size, &resident, &shared); err != nil {
		return 0, 0, err
	}
	page := int64(os.Getpagesize())
	return resident * page, (resident - shared) * page, nil
}

// reply is what an admin port answered.
type reply struct {
	status int
	header http.Header
	text   string
}

// call sends a request to the node's admin port, as curl would.
func (n *Node) call(ctx context.Context, method, path, body string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, n.URL+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	h := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := h.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, strings.TrimSpace(string(text))}, err
}

// get reads an answer with status 200.
func get[A any](ctx context.Context, n *Node, path string) (out A, err error) {
	return ask[A](ctx, n, http.MethodGet, path, "", http.StatusOK)
}

// ask reads an answer with the status that is wanted.
func ask[A any](ctx context.Context, n *Node, method, path, body string, status int) (out A, err error) {
	r, err := n.call(ctx, method, path, body)
	switch {
	case err != nil:
		return out, fmt.Errorf("node %d: %w", n.ID, err)
	case r.status != status:
		return out, fmt.Errorf("node %d: %s %s: got %d, want %d: %s", n.ID, method, path, r.status, status, r.text)
	}
	if err := json.Unmarshal([]byte(r.text), &out); err != nil {
		return out, fmt.Errorf("node %d: %s: %w: %s", n.ID, path, err, r.text)
	}
	return out, nil
}

// until looks every few milliseconds whether something holds, and returns how long that took.
func until(ctx context.Context, what string, holds func(ctx context.Context) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		last := holds(ctx)
		if last == nil {
			return time.Since(began), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Since(began), fmt.Errorf("%s: %w", what, last)
		}
	}
}

// kcat runs kcat against a broker and returns what it prints.
func (n *Node) kcat(ctx context.Context, input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kcat", append([]string{"-b", n.Kafka, "-X", "topic.metadata.refresh.interval.ms=200"}, args...)...)
	var out, complaints bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &complaints
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kcat %s: %w: %s", strings.Join(args, " "), err, complaints.String())
	}
	return out.String(), nil
}
