package main

import (
	"context"
	"errors"
	"flag"
	"os"

	"github.com/distributedmq/dmq/compat-tests/diff"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// runDiff starts two brokers and compares their answers.
func runDiff(ctx context.Context, args []string) (int, error) {
	fs := flag.NewFlagSet("diff", flag.ContinueOnError)
	a := fs.String("a", "kafka", "the broker that is right")
	b := fs.String("b", "dmq", "the broker that is judged")
	only := fs.String("run", "", "run the cases whose name matches this expression")
	plant := fs.Bool("plant", false, "change one answer of the second broker: the run has to fail")
	dump := fs.Bool("dump", false, "print what each broker answered")
	summary := fs.Bool("summary", false, "print the kinds of differences at the end")
	workers := fs.Int("workers", 4, "cases at a time")
	verbose := fs.Bool("v", false, "print passed cases too")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	var brokers [2]*peer.Broker
	var undo []func() error
	stop := func() error {
		var errs []error
		for _, u := range undo {
			errs = append(errs, u())
		}
		return errors.Join(errs...)
	}
	for i, kind := range []string{*a, *b} {
		broker, done, err := startBroker(ctx, kind, diff.Properties())
		if err != nil {
			return 0, errors.Join(err, stop())
		}
		brokers[i] = broker
		undo = append(undo, done)
	}
	target := func(b *peer.Broker) diff.Target {
		return diff.Target{Name: b.Kind, Addr: b.Addr, ControllerAddr: b.ControllerAddr, DataDir: b.DataDir}
	}
	r, err := diff.Run(diff.Options{
		A: target(brokers[0]), B: target(brokers[1]), Only: *only, Workers: *workers, Plant: *plant, Dump: *dump, Summary: *summary, Verbose: *verbose,
		Expect: *a != *b, Out: os.Stdout,
	})
	if err != nil {
		return 0, errors.Join(err, stop())
	}
	return r.Close(), stop()
}
