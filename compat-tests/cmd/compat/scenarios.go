package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/distributedmq/dmq/compat-tests/peer"
	"github.com/distributedmq/dmq/compat-tests/scenarios"
)

// runScenarios plays the original's acceptance scenarios: compat scenarios [-original].
func runScenarios(ctx context.Context, args []string) (code int, err error) {
	fs := flag.NewFlagSet("scenarios", flag.ContinueOnError)
	original := fs.Bool("original", false, "with the original's timers: a heartbeat each 5 s, OFFLINE after 30 s")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	bin, err := peer.Binary(ctx)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "compat-scenarios-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o := scenarios.Options{Bin: bin, Dir: dir, Timers: scenarios.Timers{Heartbeat: 300 * time.Millisecond, Timeout: 3 * time.Second}, Verbose: true, Out: os.Stdout}
	if *original {
		o.Timers = scenarios.Timers{Heartbeat: 5 * time.Second, Timeout: 30 * time.Second}
	}
	fmt.Printf("heartbeat %s, threshold %s\n", o.Timers.Heartbeat, o.Timers.Timeout)
	return scenarios.Run(ctx, o).Close(), nil
}

// benchREST measures what the original gave figures for: compat bench-rest [-rounds 200] [-duration 5s] [-clients 16].
func benchREST(ctx context.Context, args []string) (code int, err error) {
	o := scenarios.FigureOptions{Out: os.Stdout}
	fs := flag.NewFlagSet("bench-rest", flag.ContinueOnError)
	fs.IntVar(&o.Rounds, "rounds", 200, "how often what is measured one by one is measured")
	fs.DurationVar(&o.Duration, "duration", 5*time.Second, "how long what is counted is counted")
	fs.IntVar(&o.Clients, "clients", 16, "how many clients there are then")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	if o.Bin, err = peer.Binary(ctx); err != nil {
		return 0, err
	}
	if o.Dir, err = os.MkdirTemp("", "bench-rest-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	return 0, scenarios.Figures(ctx, o)
}
