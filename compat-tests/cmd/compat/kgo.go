package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/distributedmq/dmq/compat-tests/peer"
)

// kgoPackage holds franz-go's own tests, run as they are published.
const kgoPackage = "github.com/twmb/franz-go/pkg/kgo"

// kgoTests are those of franz-go's tests that reach a broker and need nothing that is not served yet: no transactions, share
// groups or SCRAM.
var kgoTests = []string{
	"TestUnknownGroupOffsetFetchPinned", "TestPing", "TestIssue.*", "TestConsumeRegex", "Test848RegexBrokerResolves",
	"TestDirectPartitionPurge", "TestAddRemovePartitions", "TestPauseIssue.*", "TestConsumeTopicRetrieval.*", "TestPooling",
	"TestGroupSimple", "TestHookPollStart", "TestLookbackMilli", "TestConsumeMaxDecompressBatchBytes", "TestGroupETL", "TestClient_Produce.*",
}

// runKgo runs franz-go's own tests against a broker: compat kgo [-broker dmq|kafka] [-records N].
func runKgo(ctx context.Context, args []string) (code int, err error) {
	fs := flag.NewFlagSet("kgo", flag.ContinueOnError)
	kind := fs.String("broker", "dmq", "the broker to start: dmq or kafka")
	nodes := nodesFlag(fs)
	records := fs.Int("records", 20000, "how many records the large tests move")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	root, err := peer.Root()
	if err != nil {
		return 0, err
	}
	b, done, err := startNodes(ctx, *kind, *nodes, peer.ClusterOptions{Options: peer.Options{
		Properties: map[string]string{"group.initial.rebalance.delay.ms": "0", "num.partitions": "4"},
	}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, done()) }()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-timeout=9m", "-run=^("+strings.Join(kgoTests, "|")+")$", kgoPackage)
	cmd.Dir = filepath.Join(root, "compat-tests")
	cmd.Env = append(os.Environ(), "KGO_SEEDS="+b.Bootstrap(), "KGO_TEST_RF="+strconv.Itoa(*nodes), "KGO_TEST_RECORDS="+strconv.Itoa(*records))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	var counted kgoCount
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		counted.line(lines.Bytes())
	}
	return counted.close(errors.Join(lines.Err(), cmd.Wait())), nil
}

// kgoCount counts the top-level tests that go test reports.
type kgoCount struct {
	passed, failed int
	output         map[string][]string // of each test that still runs
}

func (c *kgoCount) line(text []byte) {
	var e struct {
		Action, Test, Output string
		Elapsed              float64
	}
	if json.Unmarshal(text, &e) != nil {
		fmt.Printf("%s\n", text) // a build error
		return
	}
	top, _, _ := strings.Cut(e.Test, "/")
	if c.output == nil {
		c.output = make(map[string][]string)
	}
	switch {
	case e.Action == "output":
		c.output[top] = append(c.output[top], e.Output)
	case e.Test == "" || e.Test != top:
	case e.Action == "pass":
		c.passed++
		delete(c.output, top)
	case e.Action == "skip": // one of them needs a broker that is too old
		delete(c.output, top)
	case e.Action == "fail":
		c.failed++
		const most = 40
		out := c.output[top]
		fmt.Printf("FAIL kgo: %s (%.1f s)\n%s", top, e.Elapsed, strings.Join(out[max(0, len(out)-most):], ""))
		delete(c.output, top)
	}
}

func (c *kgoCount) close(err error) int {
	if err != nil && c.failed == 0 || c.passed == 0 {
		c.failed++
		fmt.Printf("FAIL kgo: %v\n%s", err, strings.Join(c.output[""], ""))
	}
	fmt.Printf("%d passed, %d failed\n", c.passed, c.failed)
	if c.failed > 0 {
		return 1
	}
	return 0
}
