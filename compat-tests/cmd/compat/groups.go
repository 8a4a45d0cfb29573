package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/distributedmq/dmq/compat-tests/go/franz"
	"github.com/distributedmq/dmq/compat-tests/go/librdkafka"
	"github.com/distributedmq/dmq/compat-tests/go/member"
	"github.com/distributedmq/dmq/compat-tests/go/sarama"
	"github.com/distributedmq/dmq/compat-tests/go/segmentio"
	"github.com/distributedmq/dmq/compat-tests/groups"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// goMembers are the members of groups in Go.
func goMembers() map[string]member.Join {
	return map[string]member.Join{"franz-go": franz.Member, "sarama": sarama.Member, "segmentio": segmentio.Member, "librdkafka": librdkafka.Member}
}

// runMember hosts members of groups of one Go client: compat member NAME ADDR.
func runMember(_ context.Context, args []string) (int, error) {
	if len(args) != 2 || goMembers()[args[0]] == nil {
		return 0, errors.New("member needs a client and an address")
	}
	return 0, member.Serve(args[1], goMembers()[args[0]], os.Stdin, os.Stdout)
}

// groupProperties let groups act soon.
func groupProperties() map[string]string {
	return map[string]string{
		"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "1000",
		"group.consumer.min.session.timeout.ms": "1000", "group.consumer.min.heartbeat.interval.ms": "100", "group.consumer.heartbeat.interval.ms": "500",
		"group.consumer.assignment.interval.ms": "0",
	}
}

// variants are all ways of all clients to be in a group.
func variants(root string, h peer.Home, self, addr string) []groups.Variant {
	in := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	host := func(command ...string) func() (groups.Host, error) {
		return func() (groups.Host, error) { return groups.StartHost(command) }
	}
	goHost := func(name string) func() (groups.Host, error) { return host(self, "member", name, addr) }
	javaHost := host(java(root, h, "member", addr)...)
	rust := host(in(".cache", "rust", "release", "dmq-compat-rust"), "member", addr)
	python := host(in(".cache", "python", "bin", "python"), in("compat-tests", "python", "member.py"), addr)
	const noStatic = "the library has none"
	return []groups.Variant{
		{Client: "java", Protocol: "classic", Assignor: "range", Start: javaHost},
		{Short: true, Client: "java", Protocol: "classic", Assignor: "cooperative-sticky", Start: javaHost},
		{Short: true, Client: "java", Protocol: "consumer", Assignor: "range", Start: javaHost},
		{Short: true, Client: "aiokafka", Protocol: "classic", Assignor: "range", Start: python},
		{Client: "aiokafka", Protocol: "classic", Assignor: "sticky", Start: python},
		{Short: true, Client: "kafkajs", Protocol: "classic", Assignor: "roundrobin", Static: noStatic, Start: host("node", in("compat-tests", "node", "member.mjs"), addr)},
		{Client: "rust-rdkafka", Protocol: "classic", Assignor: "cooperative-sticky", Start: rust},
		{Short: true, Client: "rust-rdkafka", Protocol: "consumer", Start: rust},
		{Client: "librdkafka", Protocol: "classic", Assignor: "roundrobin", Start: goHost("librdkafka")},
		{Short: true, Client: "librdkafka", Protocol: "classic", Assignor: "cooperative-sticky", Start: goHost("librdkafka")},
		{Client: "librdkafka", Protocol: "consumer", Start: goHost("librdkafka")},
		{Short: true, Client: "kcat", Protocol: "classic", Assignor: "range", LateCommits: "every 5 s, and when partitions go", Start: func() (groups.Host, error) { return groups.StartKcat(addr) }},
		{Client: "sarama", Protocol: "classic", Assignor: "range", Start: goHost("sarama")},
		{Short: true, Client: "sarama", Protocol: "classic", Assignor: "sticky", Start: goHost("sarama")},
		{Short: true, Client: "segmentio", Protocol: "classic", Assignor: "range", Static: noStatic, Start: goHost("segmentio")},
		{Short: true, Client: "franz-go", Protocol: "classic", Assignor: "range", Start: goHost("franz-go")},
		{Client: "franz-go", Protocol: "classic", Assignor: "cooperative-sticky", Start: goHost("franz-go")},
		{Short: true, Client: "franz-go", Protocol: "consumer", Start: goHost("franz-go")},
	}
}

// runGroups puts groups of every client through their life: compat groups [-broker dmq|kafka] [-run EXPR].
func runGroups(ctx context.Context, args []string) (code int, err error) {
	fs := flag.NewFlagSet("groups", flag.ContinueOnError)
	kind := fs.String("broker", "dmq", "the broker to start: dmq or kafka")
	only := fs.String("run", "", "run the variants whose name matches this expression")
	parallel := fs.Int("parallel", 9, "variants at a time")
	nodes := nodesFlag(fs)
	short := fs.Bool("short", false, "one or two variants of each client")
	verbose := fs.Bool("v", false, "print passed checks too")
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
	c, done, err := startNodes(ctx, *kind, *nodes, peer.ClusterOptions{Options: peer.Options{Properties: groupProperties()}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, done()) }()
	addr := c.Nodes[0].Addr
	o := groups.Options{Addr: addr, Parallel: *parallel, Out: os.Stdout, Verbose: *verbose, Restart: func() error { return c.RestartEach(ctx) }}
	for _, v := range variants(root, h, self, addr) {
		if match.MatchString(v.String()) && (v.Short || !*short) {
			o.Variants = append(o.Variants, v)
		}
	}
	began := time.Now()
	passed, failed := groups.Run(ctx, o)
	fmt.Printf("groups: %d variants in %s\n%d passed, %d failed\n", len(o.Variants), time.Since(began).Round(100*time.Millisecond), passed, failed)
	if failed > 0 || passed == 0 {
		return 1, nil
	}
	return 0, nil
}
