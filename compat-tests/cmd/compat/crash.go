package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/distributedmq/dmq/compat-tests/crash"
	"github.com/distributedmq/dmq/compat-tests/disk"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// runKill kills a broker under load: compat kill [-broker dmq|kafka] [-rounds N].
func runKill(ctx context.Context, args []string) (int, error) { return runCrash(ctx, args, false) }

// runPowerCut cuts the power of its disk: compat powercut [-broker dmq|kafka] [-rounds N]. It needs root, or sudo without
// a password; where it has neither, or no loop devices, it says NOT RUN and why as its last line.
func runPowerCut(ctx context.Context, args []string) (int, error) {
	if code, done, err := asRoot(ctx, "powercut", args); done {
		return code, err
	}
	if err := disk.Usable(); err != nil {
		fmt.Printf("NOT RUN: power cut: %v\n", err)
		return 0, nil
	}
	return runCrash(ctx, args, true)
}

func runCrash(ctx context.Context, args []string, powerCut bool) (int, error) {
	fs := flag.NewFlagSet("crash", flag.ContinueOnError)
	kind := fs.String("broker", "dmq", "the broker to kill: dmq or kafka")
	rounds := fs.Int("rounds", 5, "how often")
	properties := propertyFlag{}
	fs.Var(properties, "p", "a property of the broker, key=value")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	dir, err := os.MkdirTemp("", "compat-crash-")
	if err != nil {
		return 0, err
	}
	start, err := starter(ctx, *kind)
	if err != nil {
		return 0, err
	}
	o := crash.Options{PowerCut: powerCut, Rounds: *rounds, Dir: dir, Out: os.Stdout}
	o.Start = func(ctx context.Context, p peer.Options) (*peer.Broker, error) {
		p.Properties = properties
		return start(ctx, p)
	}
	code := crash.Run(ctx, o).Close()
	return code, os.RemoveAll(dir)
}
