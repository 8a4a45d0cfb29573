package main

import (
	"context"
	"errors"
	"flag"
	"os"

	"github.com/distributedmq/dmq/compat-tests/diff"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// runDiff sends the same bytes to two brokers and compares their answers: compat diff [-b kafka] [-run EXPR].
func runDiff(ctx context.Context, args []string) (int, error) {
	return compare(ctx, args, diff.Properties(), diff.Options{Name: "diff", Cases: diff.Cases(), Workers: 4})
}

// runLife plays scripts of group life on two brokers and compares the transcripts: compat life [-b kafka] [-run EXPR].
func runLife(ctx context.Context, args []string) (int, error) {
	return compare(ctx, args, diff.LifeProperties(), diff.Options{Name: "life", Cases: diff.LifeCases(), Workers: 16})
}

func compare(ctx context.Context, args []string, properties map[string]string, o diff.Options) (code int, err error) {
	fs := flag.NewFlagSet(o.Name, flag.ContinueOnError)
	a := fs.String("a", "kafka", "the broker that is right")
	b := fs.String("b", "dmq", "the broker that is judged")
	fs.StringVar(&o.Only, "run", "", "run the cases whose name matches this expression")
	fs.BoolVar(&o.Plant, "plant", false, "change one answer of the second broker: the run has to fail")
	fs.BoolVar(&o.Dump, "dump", false, "print what each broker answered")
	fs.BoolVar(&o.Summary, "summary", false, "print the kinds of differences at the end")
	fs.IntVar(&o.Workers, "workers", o.Workers, "cases at a time")
	fs.BoolVar(&o.Verbose, "v", false, "print passed cases too, and the slowest")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	var brokers []*peer.Broker
	for _, kind := range []string{*a, *b} {
		broker, done, err := startBroker(ctx, kind, properties)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, done()) }() // the error of the function
		brokers = append(brokers, broker)
	}
	target := func(b *peer.Broker) diff.Target {
		return diff.Target{Name: b.Kind, Addr: b.Addr, ControllerAddr: b.ControllerAddr, DataDir: b.DataDir}
	}
	o.A, o.B, o.Expect, o.Out = target(brokers[0]), target(brokers[1]), *a != *b, os.Stdout
	o.Restart = func() error {
		var errs []error
		for _, b := range brokers {
			errs = append(errs, b.Kill(), b.Reconfigure(diff.AgingProperties()), b.Restart(ctx))
		}
		return errors.Join(errs...)
	}
	r, err := diff.Run(o)
	if err != nil {
		return 0, err
	}
	return r.Close(), nil
}
