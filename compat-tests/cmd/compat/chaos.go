package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/distributedmq/dmq/compat-tests/chaos"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// runChaos lets faults loose on three nodes: compat chaos [-seed N] [-duration 90s] [-nemesis kill,pause,…]. As root, or with
// sudo without a password, nodes have namespaces and disks of their own.
func runChaos(ctx context.Context, args []string) (int, error) {
	if code, done, err := asRoot(ctx, "chaos", args); done {
		return code, err
	}
	fs := flag.NewFlagSet("chaos", flag.ContinueOnError)
	o := chaos.Options{Out: os.Stdout, Properties: map[string]string{}}
	fs.Uint64Var(&o.Seed, "seed", uint64(time.Now().UnixNano()), "of the schedule")
	fs.DurationVar(&o.Duration, "duration", 90*time.Second, "how long faults come")
	faults := fs.String("nemesis", "all", "kinds of faults, with commas")
	fs.IntVar(&o.Rate, "rate", 400, "records a second of each of the producers")
	fs.BoolVar(&o.Plain, "plain", false, "plain processes on loopback, as without root")
	fs.BoolVar(&o.OneByOne, "one-by-one", false, "no fault before all replicas are in sync again")
	fs.BoolVar(&o.Keep, "keep", false, "leave the folder in any case")
	fs.Var(propertyFlag(o.Properties), "p", "a property of the nodes, key=value")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	var err error
	if o.Faults, err = chaos.ParseFaults(*faults); err != nil {
		return 0, err
	}
	if o.Binary, err = peer.Binary(ctx); err != nil {
		return 0, err
	}
	if o.Dir, err = os.MkdirTemp("", "compat-chaos-"); err != nil {
		return 0, err
	}
	if o.Keep {
		fmt.Println("chaos: the runs are in", o.Dir)
	}
	r := chaos.RunAll(ctx, o)
	if r.Failed == 0 && !o.Keep {
		err = os.RemoveAll(o.Dir)
	}
	return r.Close(), err
}

// asRoot runs the subcommand through sudo, where this process is not root and sudo asks for no password.
func asRoot(ctx context.Context, subcommand string, args []string) (code int, done bool, err error) {
	if os.Geteuid() == 0 || exec.CommandContext(ctx, "sudo", "-n", "true").Run() != nil {
		return 0, false, nil
	}
	self, err := os.Executable()
	if err != nil {
		return 0, true, err
	}
	cmd := exec.CommandContext(ctx, "sudo", append([]string{"-n", "-E", self, subcommand}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		return exit.ExitCode(), true, nil
	} else if err != nil {
		return 0, true, fmt.Errorf("sudo: %w", err)
	}
	return 0, true, nil
}
