//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/config"
)

// dmqCommand is this test's binary as dmq.
func dmqCommand(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "dmq")
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(ctx, name, args...)
}

// dmqProcess starts this test's binary as dmq and returns it with a channel of the lines it prints.
func dmqProcess(t *testing.T, args ...string) (*exec.Cmd, <-chan string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	cmd := dmqCommand(ctx, t, args...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return cmd, lines
}

// awaitLine reads until a line contains text, and returns all it has read.
func awaitLine(t *testing.T, lines <-chan string, text string) string {
	t.Helper()
	var all strings.Builder
	for line := range lines {
		all.WriteString(line + "\n")
		if strings.Contains(line, text) {
			return all.String()
		}
	}
	t.Fatalf("%q was not printed:\n%s", text, all.String())
	return ""
}

func exitCode(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

func TestServe_SIGTERMDrains(t *testing.T) {
	dir := t.TempDir()
	cmd, lines := dmqProcess(t, "serve", "--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "dmq.admin.listen=127.0.0.1:0", "--set", "log.dirs="+dir)
	ready := awaitLine(t, lines, "Transitioning from RECOVERY to RUNNING")
	if strings.Contains(ready, `"kafka":"127.0.0.1:0"`) || strings.Contains(ready, `"admin":"http://127.0.0.1:0"`) {
		t.Errorf("the bound ports are not told: %s", ready)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, lines, `"signal":"terminated"`)
	for range lines { // to the end
	}
	if code := exitCode(t, cmd); code != 0 {
		t.Errorf("exit %d after a graceful stop", code)
	}
	if _, err := os.Stat(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil {
		t.Error(err)
	}
}

// timeout(1) signals its child, and then the whole group.
func TestSecondSignal_IsNotTheSameOneTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals, stopped := make(chan os.Signal, 2), make(chan struct{})
		got := make(chan os.Signal, 2)
		go func() { got <- secondSignal(signals, stopped) }()
		signals <- syscall.SIGTERM
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("the group's signal counts as a second one")
		}
		time.Sleep(time.Second)
		signals <- syscall.SIGINT
		if s := <-got; s != syscall.SIGINT {
			t.Errorf("got %v, want the second signal", s)
		}
		go func() { got <- secondSignal(signals, stopped) }()
		close(stopped)
		if s := <-got; s != nil {
			t.Errorf("got %v after the stop", s)
		}
	})
}

func TestDev_DeletesItsData(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("DMQ_LOG_DIRS", "/nowhere") // dev does not read the environment's configuration
	cmd, lines := dmqProcess(t, "dev", "--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "dmq.admin.listen=")
	awaitLine(t, lines, "Transitioning from RECOVERY to RUNNING")
	if found, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "dmq-dev-*", "meta.properties")); err != nil || len(found) != 1 {
		t.Errorf("data directories: %v, %v", found, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for range lines { // to the end
	}
	if code := exitCode(t, cmd); code != 0 {
		t.Errorf("exit %d after a graceful stop", code)
	}
	if found, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "dmq-dev-*")); err != nil || len(found) != 0 {
		t.Errorf("left behind: %v, %v", found, err)
	}
}

func TestConsume_InterruptedEndsWith130(t *testing.T) {
	dir := t.TempDir()
	node, nodeLines := dmqProcess(t, "serve", "--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "dmq.admin.listen=", "--set", "log.dirs="+dir)
	ready := awaitLine(t, nodeLines, "Transitioning from RECOVERY to RUNNING")
	_, rest, _ := strings.Cut(ready, `"kafka":"`)
	address, _, _ := strings.Cut(rest, `"`)
	go func() {
		for range nodeLines { // keep the pipe empty
		}
	}()
	var quiet strings.Builder
	producer := testApp(&quiet)
	producer.in = strings.NewReader("the record\n")
	if code := run([]string{"-b", address, "produce", "t"}, producer); code != 0 {
		t.Fatal(quiet.String())
	}
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: codeInterrupted, syscall.SIGTERM: codeTerminated} {
		cmd, lines := dmqProcess(t, "-b", address, "consume", "t", "--follow")
		awaitLine(t, lines, "the record")
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		for range lines { // to the end
		}
		if code := exitCode(t, cmd); code != want {
			t.Errorf("%v: exit %d, want %d", sig, code, want)
		}
	}
	if err := node.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	exitCode(t, node)
}

// TestConsumeGroup_ReaderGone: dmq consume --group … | head leaves the group, and does not die in it.
func TestConsumeGroup_ReaderGone(t *testing.T) {
	props, _, err := config.Load(config.Sources{Set: []string{
		"listeners=PLAINTEXT://127.0.0.1:0", "dmq.admin.listen=", "log.dirs=" + t.TempDir(), "group.initial.rebalance.delay.ms=0",
	}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{Properties: props})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var out strings.Builder
	a := testApp(&out)
	a.in = strings.NewReader(strings.Repeat("a line that fills the pipe\n", 10_000))
	if code := run([]string{"-b", b.Addr().String(), "produce", "t"}, a); code != 0 {
		t.Fatal(out.String())
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := dmqCommand(ctx, t, "-b", b.Addr().String(), "consume", "t", "--group", "g")
	var complaint strings.Builder
	cmd.Stdout, cmd.Stderr = w, &complaint
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, cmd); code != codeBrokenPipe || complaint.String() != "" {
		t.Errorf("exit %d: %s", code, complaint.String())
	}
	if g, _, err := b.Groups().Describe(ctx, "g"); err != nil || g.State != "Empty" {
		t.Errorf("the group is %v, %v", g, err)
	}
}

// testApp is an app whose output goes to w.
func testApp(w *strings.Builder) *app {
	return &app{in: strings.NewReader(""), out: w, err: w, files: os.ReadFile, terminal: func(any) bool { return false }, size: func(any) (int, int) { return 0, 0 }}
}

// runningCluster is what dmq dev --nodes runs.
type runningCluster struct {
	cmd     *exec.Cmd
	brokers string
	banner  string
	again   map[int]*exec.Cmd // nodes that were started again

	mu  sync.Mutex // guards the field below
	log strings.Builder
}

func startCluster(t *testing.T, n int) *runningCluster {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	cmd, lines := dmqProcess(t, "dev", "--nodes", strconv.Itoa(n))
	d := &runningCluster{cmd: cmd, banner: awaitLine(t, lines, "Ctrl-C stops all nodes"), again: make(map[int]*exec.Cmd)}
	go d.keep("", lines)
	t.Cleanup(func() {
		if d.mu.Lock(); t.Failed() {
			t.Log(d.log.String())
		}
		d.mu.Unlock()
	})
	_, rest, _ := strings.Cut(d.banner, "export DMQ_BROKERS=")
	d.brokers, _, _ = strings.Cut(rest, ";")
	d.dmq(t, codeOK, "cluster", "health", "--wait")
	return d
}

// dmq runs a command against the nodes and returns what it prints.
func (d *runningCluster) dmq(t *testing.T, want int, args ...string) string {
	t.Helper()
	var out strings.Builder
	if code := run(append([]string{"-b", d.brokers}, args...), testApp(&out)); code != want {
		t.Fatalf("dmq %s: exit %d\n%s", strings.Join(args, " "), code, out.String())
	}
	return out.String()
}

// until runs a command again and again until it ends with the exit code and prints the text: any node may answer, and each
// follows the metadata log at its own pace.
func (d *runningCluster) until(t *testing.T, text string, want int, args ...string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		var out strings.Builder
		code := run(append([]string{"-b", d.brokers}, args...), testApp(&out))
		if code == want && strings.Contains(out.String(), text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("dmq %s: exit %d, not %d with %q:\n%s", strings.Join(args, " "), code, want, text, out.String())
		}
	}
}

// kill ends a node as a crash would.
func (d *runningCluster) kill(t *testing.T, node int) {
	t.Helper()
	d.signal(t, node, syscall.SIGKILL)
}

func (d *runningCluster) signal(t *testing.T, node int, s syscall.Signal) {
	t.Helper()
	if cmd := d.again[node]; cmd != nil {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		return
	}
	_, rest, _ := strings.Cut(d.banner, fmt.Sprintf("Node %d      pid ", node))
	text, _, _ := strings.Cut(rest, ",")
	pid, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%v in %s", err, d.banner)
	}
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// ended waits until a node is gone, and returns the arguments that start it again, as they are printed.
func (d *runningCluster) ended(t *testing.T, node int) []string {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		d.mu.Lock()
		log := d.log.String()
		d.mu.Unlock()
		if _, rest, ok := strings.Cut(log, fmt.Sprintf("node %d | ended: ", node)); ok {
			line, _, _ := strings.Cut(rest, "\n")
			_, args, _ := strings.Cut(line, "Start it again: dmq ")
			return strings.Fields(args)
		}
		if time.Now().After(deadline) {
			t.Fatalf("node %d did not end:\n%s", node, log)
		}
	}
}

// start starts a node again.
func (d *runningCluster) start(t *testing.T, node int, args []string) {
	t.Helper()
	cmd, lines := dmqProcess(t, args...)
	d.again[node] = cmd
	go d.keep(fmt.Sprintf("node %d again | ", node), lines)
}

// keep collects what a process prints.
func (d *runningCluster) keep(prefix string, lines <-chan string) {
	for line := range lines {
		d.mu.Lock()
		d.log.WriteString(prefix + line + "\n")
		d.mu.Unlock()
	}
}

// setting is what a node is started with.
func setting(t *testing.T, args []string, key string) string {
	t.Helper()
	for _, a := range args {
		if value, ok := strings.CutPrefix(a, key+"="); ok {
			return value
		}
	}
	t.Fatalf("no %s in %q", key, args)
	return ""
}

// directory is the id that the quorum knows a node's directory by.
func (d *runningCluster) directory(t *testing.T, node int32) string {
	t.Helper()
	var q quorumState
	if err := json.Unmarshal([]byte(d.dmq(t, codeOK, "cluster", "quorum", "status", "-o", "json")), &q); err != nil {
		t.Fatal(err)
	}
	if m := q.member(node); m != nil {
		return m.DirectoryID
	}
	return ""
}

// stop ends those that were started again, then all others by one signal: with the last of them the data goes.
func (d *runningCluster) stop(t *testing.T) {
	t.Helper()
	for node := range d.again {
		d.signal(t, node, syscall.SIGTERM)
	}
	for node, cmd := range d.again {
		if code := exitCode(t, cmd); code != 0 {
			t.Errorf("node %d: exit %d after a graceful stop", node, code)
		}
	}
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, d.cmd); code != 0 {
		t.Errorf("exit %d after a graceful stop", code)
	}
}

// TestDevNode_EndsWhileStarting: a signal that ends the nodes, too, is what is told, however late it is noticed.
func TestDevNode_EndsWhileStarting(t *testing.T) {
	for _, test := range []struct {
		name    string
		signals []os.Signal
		code    int
		what    string
	}{
		{"by itself", nil, codeFailed, "node 2 did not start"},
		{"by Ctrl-C", []os.Signal{os.Interrupt}, codeInterrupted, "interrupted before the cluster was ready"},
	} {
		signals, deaths := make(chan os.Signal, 2), make(chan *devNode, 2)
		for _, s := range test.signals {
			signals <- s
		}
		deaths <- &devNode{id: 2}
		err := (&devNode{id: 1, admin: "127.0.0.1:1"}).awaitReady(signals, deaths)
		if f := explain(err); f.code != test.code || f.what != test.what {
			t.Errorf("%s: exit %d, %q", test.name, f.code, f.what)
		}
	}
}

// TestHeldPorts: a port that is taken is not given out again before the nodes start.
func TestHeldPorts(t *testing.T) {
	var ports heldPorts
	defer ports.release()
	seen := make(map[string]bool)
	taken := 0
	for range 4 {
		at, err := ports.hold(t.Context(), taken)
		if err != nil {
			t.Fatal(err)
		}
		if seen[at] {
			t.Errorf("%s twice", at)
		}
		seen[at] = true
		_, port, _ := strings.Cut(at, ":")
		if taken, err = strconv.Atoi(port); err != nil {
			t.Fatal(err)
		}
	}
}

// A throw-away node keeps the ports that it chose until it listens there: two that start at once get two.
func TestHeldPorts_HandedOver(t *testing.T) {
	var ports heldPorts
	defer ports.release()
	var at [2]string
	for i := range at {
		var err error
		if at[i], err = ports.hold(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		l, err := ports.listen(t.Context(), "tcp", at[0])
		if err != nil {
			if len(ports) == 0 && errors.Is(err, syscall.EADDRINUSE) {
				break // it is in use by now, and what was held was given up for it
			}
			t.Fatal(err)
		}
		defer l.Close()
		if l.Addr().String() != at[0] || len(ports) != 1 {
			t.Errorf("listens at %s and holds %d ports", l.Addr(), len(ports))
		}
	}
	if _, err := ports.hold(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(ports[0].Addr().String(), ":")
	everywhere, err := ports.listen(t.Context(), "tcp", ":"+port)
	if err != nil {
		t.Fatalf("listen at a port that is held, in another way: %v", err)
	}
	everywhere.Close()
}

// TestDev_Cluster: four nodes, one of which is drained and used again, one killed and missed, and all of which stop by one
// signal.
func TestDev_Cluster(t *testing.T) {
	d := startCluster(t, 4)
	d.dmq(t, codeOK, "topic", "create", "orders", "-p", "4", "-r", "3")
	d.until(t, `"leader": 4`, codeOK, "partition", "list", "-o", "json") // a leader is harder to drain
	if list := d.dmq(t, codeOK, "broker", "list"); strings.Count(list, " up ") != 4 || !strings.Contains(list, " c ") {
		t.Errorf("brokers:\n%s", list)
	}
	d.dmq(t, codeOK, "broker", "drain", "4")
	if held := d.dmq(t, codeOK, "partition", "list", "--broker", "4", "-o", "name"); held != "" {
		t.Errorf("a drained broker holds\n%s", held)
	}
	if list := d.dmq(t, codeOK, "broker", "list"); !strings.Contains(list, "up, cordoned") {
		t.Errorf("brokers:\n%s", list)
	}
	d.dmq(t, codeOK, "broker", "resume", "4")
	plan := filepath.Join(t.TempDir(), "plan.json")
	d.dmq(t, codeOK, "partition", "reassign", "plan", "--save", plan)
	d.dmq(t, codeOK, "partition", "reassign", "apply", plan, "--throttle", "100MiB")
	if held := d.dmq(t, codeOK, "partition", "list", "--broker", "4", "-o", "name"); held == "" {
		t.Error("a broker that was resumed got no share")
	}
	d.dmq(t, codeOK, "partition", "reassign", "status", plan)
	d.dmq(t, codeOK, "cluster", "health", "--wait")
	d.kill(t, 3)
	d.until(t, "orders", codeOK, "partition", "list", "--under-replicated", "-o", "name")
	if health := d.dmq(t, codeUnhealthy, "cluster", "health"); !strings.Contains(health, "YELLOW") || !strings.Contains(health, "broker 3") {
		t.Errorf("health:\n%s", health)
	}
	d.stop(t)
}

// TestDev_Throttle: a move that is done takes no throttle away from one that goes on.
func TestDev_Throttle(t *testing.T) {
	d := startCluster(t, 2)
	for _, topic := range []string{"slow", "quick"} {
		d.dmq(t, codeOK, "topic", "create", topic, "-r", "1")
	}
	d.until(t, "slow", codeOK, "topic", "describe", "slow")
	var out strings.Builder
	a := testApp(&out)
	a.in = strings.NewReader(strings.Repeat(strings.Repeat("v", 100_000)+"\n", 80)) // more than the first fetches bring before the quota is used up
	if code := run([]string{"-b", d.brokers, "produce", "slow"}, a); code != codeOK {
		t.Fatal(out.String())
	}
	apply := func(topic string, more ...string) {
		t.Helper()
		to := "[2]"
		if strings.Contains(d.dmq(t, codeOK, "partition", "list", "--topic", topic, "-o", "json"), `"leader": 2`) {
			to = "[1]"
		}
		plan := filepath.Join(t.TempDir(), "plan.json")
		if err := os.WriteFile(plan, []byte(`{"version":1,"partitions":[{"topic":"`+topic+`","partition":0,"replicas":`+to+`}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		d.dmq(t, codeOK, append([]string{"partition", "reassign", "apply", plan}, more...)...)
	}
	apply("slow", "--throttle", "1B", "--detach")
	d.until(t, "slow", codeOK, "partition", "reassign", "status")
	apply("quick", "--throttle", "2B")
	d.until(t, "throttled to 2 B/s", codeOK, "partition", "reassign", "status")
	if config := d.dmq(t, codeOK, "topic", "config", "get", "slow"); !strings.Contains(config, followerReplicas) {
		t.Errorf("the replicas of the move that goes on are not throttled any more:\n%s", config)
	}
	d.dmq(t, codeOK, "partition", "reassign", "cancel", "--all", "--yes")
	d.until(t, `"throttled": {}`, codeOK, "partition", "reassign", "status", "-o", "json")
	d.stop(t)
}

// TestDev_TakenAway: what docs/cluster.md says of taking a broker away for good, here one that votes, and what is refused on the
// way.
func TestDev_TakenAway(t *testing.T) {
	d := startCluster(t, 4)
	d.dmq(t, codeOK, "topic", "create", "orders", "-p", "4", "-r", "3")
	d.until(t, "Empty it first: dmq broker drain 3", codeConflict, "broker", "unregister", "3", "--yes")
	d.dmq(t, codeOK, "broker", "drain", "3")
	d.until(t, "is up", codeConflict, "broker", "unregister", "3", "--yes")
	d.dmq(t, codeOK, "cluster", "quorum", "remove-voter", "3", "--yes")
	d.signal(t, 3, syscall.SIGTERM)
	d.until(t, "3\n", codeOK, "__complete", "broker", "unregister", "") // it is offered once it is fenced
	d.until(t, "unregistered", codeOK, "broker", "unregister", "3", "--yes")
	d.until(t, "broker 3 not found", codeNotFound, "broker", "describe", "3")
	d.until(t, "GREEN  3 of 3 brokers up, 4 partitions, quorum of 2 voters", codeOK, "cluster", "health", "--wait")
	d.stop(t)
}

// TestDev_Restarts: what docs/cluster.md says of restarts, and of a controller whose disk was replaced.
func TestDev_Restarts(t *testing.T) {
	d := startCluster(t, 3)
	d.dmq(t, codeOK, "topic", "create", "orders", "-p", "3")
	d.signal(t, 3, syscall.SIGTERM)
	d.start(t, 3, d.ended(t, 3))
	d.until(t, "GREEN  3 of 3 brokers up, 3 partitions", codeOK, "cluster", "health", "--wait")

	was := d.directory(t, 2)
	d.signal(t, 2, syscall.SIGTERM)
	args := d.ended(t, 2)
	if err := os.RemoveAll(setting(t, args, "log.dirs")); err != nil {
		t.Fatal(err)
	}
	d.start(t, 2, args)
	d.dmq(t, codeOK, "cluster", "quorum", "remove-voter", "2", "--yes")
	for deadline := time.Now().Add(30 * time.Second); d.directory(t, 2) == was || d.directory(t, 2) == ""; {
		if time.Now().After(deadline) {
			t.Fatal("the node does not come back with its new disk")
		}
	}
	_, rest, _ := strings.Cut(setting(t, args, "listeners"), "CONTROLLER://")
	d.dmq(t, codeOK, "cluster", "quorum", "add-voter", "2", "--endpoint", "CONTROLLER://"+rest)
	d.until(t, "GREEN  3 of 3 brokers up, 3 partitions, quorum of 3 voters", codeOK, "cluster", "health", "--wait")
	d.stop(t)
}

// TestDev_MajorityLost: what docs/cluster.md says of a lost majority, down to the unclean election of a partition whose records are
// on a node that does not come back.
func TestDev_MajorityLost(t *testing.T) {
	d := startCluster(t, 3)
	d.dmq(t, codeOK, "topic", "create", "orders", "-r", "2", "-c", "min.insync.replicas=1")
	plan := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(plan, []byte(`{"version":1,"partitions":[{"topic":"orders","partition":0,"replicas":[3,2]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	d.until(t, "done", codeOK, "partition", "reassign", "apply", plan)
	d.kill(t, 2)
	d.until(t, "orders:0", codeOK, "partition", "list", "--under-replicated", "-o", "name")
	d.kill(t, 3)
	d.until(t, "RED  1 of 3 brokers up", codeUnhealthy, "cluster", "health")
	elect := []string{"partition", "elect-leader", "--unclean", "--topic", "orders", "--yes"}
	d.until(t, "the metadata quorum does not answer", codeUnreachable, elect...)

	d.start(t, 2, d.ended(t, 2))
	d.until(t, "orders:0", codeOK, "partition", "list", "--offline", "-o", "name")
	d.until(t, "may lead: 3", codeUnhealthy, "cluster", "health")
	d.until(t, "broker 3 cannot lead", codeConflict, "partition", "elect-leader", "--preferred", "--topic", "orders")
	d.until(t, "elected", codeOK, elect...)
	d.until(t, `"leader": 2`, codeOK, "partition", "list", "--topic", "orders", "-o", "json")
	d.start(t, 3, d.ended(t, 3))
	d.until(t, "GREEN  3 of 3 brokers up", codeOK, "cluster", "health", "--wait")
	d.stop(t)
}

// TestDev_AllGone: when no node is left there is nothing to wait for.
func TestDev_AllGone(t *testing.T) {
	d := startCluster(t, 2)
	d.kill(t, 2)
	d.kill(t, 1)
	if code := exitCode(t, d.cmd); code != codeFailed {
		t.Errorf("exit %d, want that all nodes are gone", code)
	}
}
