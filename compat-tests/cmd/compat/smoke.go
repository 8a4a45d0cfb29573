package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/distributedmq/dmq/compat-tests/peer"
)

// suite is one client's test program.
type suite struct {
	name    string
	command []string
}

// outcome is what a suite's closing line said.
type outcome struct {
	passed, failed int
	took           time.Duration
	output         []byte
}

// java runs the Java test program, kept to what a short run needs.
func java(root string, h peer.Home, args ...string) []string {
	return append([]string{
		"java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off",
		"-cp", filepath.Join(root, ".cache", "java") + ":" + h.BrokerClasspath(), "Main",
	}, args...)
}

// suites are all clients, the slow ones first.
func suites(root string, h peer.Home, self, addr, dataDir string) []suite {
	in := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	return []suite{
		{"java client and kafka tools", java(root, h, "both", addr, filepath.Join(string(h), "tools"), dataDir)},
		{"librdkafka", []string{self, "go", "librdkafka", "-bootstrap", addr}},
		{"rust-rdkafka", []string{in(".cache", "rust", "release", "dmq-compat-rust"), addr}},
		{"kafka-python", []string{in(".cache", "python", "bin", "python"), in("compat-tests", "python", "client.py"), addr}},
		{"kcat", []string{in("compat-tests", "kcat", "run.sh"), addr}},
		{"sarama", []string{self, "go", "sarama", "-bootstrap", addr}},
		{"kafkajs", []string{"node", in("compat-tests", "node", "kafkajs.mjs"), addr}},
		{"franz-go", []string{self, "go", "franz-go", "-bootstrap", addr}},
		{"segmentio", []string{self, "go", "segmentio", "-bootstrap", addr}},
	}
}

var closingLine = regexp.MustCompile(`(?m)^(\d+) passed, (\d+) failed$`)

// runSuite runs one program. One that does not end with a closing line, or whose exit code does not fit it, has failed.
func runSuite(ctx context.Context, s suite) outcome {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	began := time.Now()
	out, err := exec.CommandContext(ctx, s.command[0], s.command[1:]...).CombinedOutput()
	o := outcome{took: time.Since(began), output: out}
	lines := closingLine.FindAllSubmatch(out, -1)
	for _, m := range lines {
		p, _ := strconv.Atoi(string(m[1]))
		f, _ := strconv.Atoi(string(m[2]))
		o.passed, o.failed = o.passed+p, o.failed+f
	}
	if err != nil && o.failed == 0 || len(lines) == 0 || o.passed == 0 {
		o.failed++
		o.output = fmt.Appendf(out, "\nFAIL %s: ended with %v and no line that counts\n", s.name, err)
	}
	return o
}

// runSmoke runs every client against one broker: compat smoke [-broker dmq|kafka] [-bootstrap ADDR] [-run EXPR].
func runSmoke(ctx context.Context, args []string) (code int, err error) {
	fs := flag.NewFlagSet("smoke", flag.ContinueOnError)
	kind := fs.String("broker", "dmq", "the broker to start: dmq or kafka")
	addr := fs.String("bootstrap", "", "address of a broker that runs already, instead of starting one")
	only := fs.String("run", "", "run the suites whose name matches this expression")
	nodes := nodesFlag(fs)
	parallel := fs.Int("parallel", 3, "suites at a time")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return 0, err
	}
	root, err := peer.Root()
	if err != nil {
		return 0, err
	}
	h, err := peer.KafkaHome(ctx)
	if err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	dataDir := ""
	var cluster *peer.Cluster
	if *addr == "" {
		c, done, err := startNodes(ctx, *kind, *nodes, peer.ClusterOptions{Options: peer.Options{Properties: groupProperties()}})
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, done()) }()
		b := c.Nodes[0]
		cluster, *addr, dataDir = c, b.Addr, b.DataDir
		fmt.Printf("smoke: %d of %s, the first at %s, ready after %s\n", *nodes, b.Kind, b.Addr, b.StartTook.Round(time.Millisecond))
	}
	if err := os.Setenv("DMQ_TEST_REPLICAS", strconv.Itoa(*nodes)); err != nil {
		return 0, err
	}
	var list []suite
	all := suites(root, h, self, *addr, dataDir)
	if *nodes > 1 { // with nodes of its own, since it stops some
		all = append(all, suite{"kafka tools for clusters", []string{self, "tools", "-broker", *kind}})
	}
	for _, s := range all {
		if match.MatchString(s.name) {
			list = append(list, s)
		}
	}
	total := runSuites(ctx, list, *parallel)
	if cluster != nil {
		total.add(afterStop(ctx, root, h, cluster))
	}
	fmt.Printf("%d passed, %d failed\n", total.passed, total.failed)
	if total.failed > 0 || total.passed == 0 {
		return 1, nil
	}
	return 0, nil
}

func (o *outcome) add(p outcome) { o.passed, o.failed = o.passed+p.passed, o.failed+p.failed }

// runSuites runs the suites and prints what each said when it is done.
func runSuites(ctx context.Context, list []suite, parallel int) outcome {
	var mu sync.Mutex // guards total and the output
	var total outcome
	began := time.Now()
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for _, s := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			o := runSuite(ctx, s)
			mu.Lock()
			defer mu.Unlock()
			total.add(o)
			show(s.name, o)
		})
	}
	wg.Wait()
	fmt.Printf("smoke: %d clients in %s\n", len(list), time.Since(began).Round(100*time.Millisecond))
	return total
}

func show(name string, o outcome) {
	for line := range bytes.Lines(o.output) {
		if !closingLine.Match(line) && len(bytes.TrimSpace(line)) > 0 {
			fmt.Printf("%s", line)
		}
	}
	fmt.Printf("smoke: %-28s %3d passed, %d failed, %s\n", name, o.passed, o.failed, o.took.Round(100*time.Millisecond))
}

// afterStop stops the nodes and has Kafka's own tool read every log and verify every index that the first one left.
func afterStop(ctx context.Context, root string, h peer.Home, c *peer.Cluster) outcome {
	if err := c.Stop(); err != nil {
		fmt.Printf("FAIL smoke: %v\n", err)
		return outcome{failed: 1}
	}
	s := suite{"kafka-dump-log after the stop", java(root, h, "dump", filepath.Join(string(h), "tools"), c.Nodes[0].DataDir)}
	o := runSuite(ctx, s)
	show(s.name, o)
	return o
}
