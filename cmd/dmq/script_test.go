package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dmq": func() { os.Exit(realMain()) }})
}

// TestScripts runs the command line as a user does. Scripts in testdata/script talk to a node of their own; with
// DMQ_TEST_BROKERS=host:port they talk to that cluster instead, which may be Apache Kafka.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("LANG", "C")
			e.Setenv("NO_COLOR", "")
			e.Setenv("GORACE", "atexit_sleep_ms=0") // a race is reported at once; else each command would take a second more
			e.Setenv("TMPDIR", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"node":     scriptNode,
			"freeport": scriptFreePort,
			"await":    scriptAwait,
			"until":    scriptUntil,
			"get":      scriptGet,
			"logfile":  scriptLogFile,
			"flip":     scriptFlip,
		},
	})
}

// scriptNode starts a node inside of the test and points DMQ_BROKERS at it: node [KEY=VALUE]...
func scriptNode(ts *testscript.TestScript, _ bool, args []string) {
	if external := os.Getenv("DMQ_TEST_BROKERS"); external != "" {
		ts.Setenv("DMQ_BROKERS", external)
		return
	}
	set := append([]string{"listeners=PLAINTEXT://127.0.0.1:0", "dmq.admin.listen=", "log.dirs=" + ts.MkAbs("node-data")}, args...)
	props, _, err := config.Load(config.Sources{Set: set})
	ts.Check(err)
	b, err := broker.New(broker.Config{Properties: props})
	ts.Check(err)
	ts.Check(b.Start(context.Background()))
	ts.Defer(func() {
		if err := b.Close(); err != nil {
			ts.Logf("close the node: %v", err)
		}
	})
	ts.Setenv("DMQ_BROKERS", b.Addr().String())
}

// scriptFreePort sets a variable to an address of loopback that is free now: freeport NAME.
func scriptFreePort(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Setenv(name, l.Addr().String())
		ts.Check(l.Close())
	}
}

// scriptAwait waits until a URL answers 200 with a body that matches: await URL [PATTERN].
func scriptAwait(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	want := regexp.MustCompile(strings.Join(args[1:], " "))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
		ts.Check(err)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			body, err := io.ReadAll(resp.Body)
			ts.Check(err)
			ts.Check(resp.Body.Close())
			if resp.StatusCode == http.StatusOK && want.Match(body) {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("%s does not answer", args[0])
		}
	}
}

// scriptGet fetches a URL, whatever it answers; stdout is its body: get URL.
func scriptGet(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	ts.Check(resp.Body.Close())
}

// scriptUntil runs a command again and again until its output has a line that matches: until PATTERN COMMAND...
func scriptUntil(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[0])
	deadline := time.Now().Add(time.Minute)
	var err error
	for time.Now().Before(deadline) {
		if err = ts.Exec(args[1], args[2:]...); err == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("no output of %q matches: the last is %q, error %v", args[1:], ts.ReadFile("stdout"), err)
}

// scriptLogFile writes a partition's directory with two batches and an offset index that leads to the second:
// logfile DIR.
func scriptLogFile(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	var log []byte
	var second int
	for i, value := range []string{"hello", "world"} {
		b := records.NewBuilder(records.BuilderOptions{BaseOffset: int64(2 * i), Codec: compress.Codec(i)}) // none, then gzip
		b.Append(1700000000000+int64(i), []byte("key"), []byte(value), records.Header{Key: "h", Value: []byte("v")})
		b.Append(1700000000000+int64(i), nil, nil)
		batch, err := b.Bytes()
		ts.Check(err)
		second = len(log)
		log = append(log, batch...)
	}
	base := filepath.Join(dir, "00000000000000000000")
	ts.Check(os.WriteFile(base+".log", log, 0o644))
	ts.Check(os.WriteFile(base+".index", []byte{0, 0, 0, 3, 0, 0, byte(second >> 8), byte(second)}, 0o644))
	ts.Check(vfs.WriteFileAtomic(vfs.OS(), filepath.Join(dir, "leader-epoch-checkpoint"), []byte("0\n1\n0 0\n")))
}

// scriptFlip changes one byte in the first quarter of a file: flip FILE.
func scriptFlip(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	data, err := os.ReadFile(name)
	ts.Check(err)
	data[len(data)/4] ^= 0xff
	ts.Check(os.WriteFile(name, data, 0o644))
}
