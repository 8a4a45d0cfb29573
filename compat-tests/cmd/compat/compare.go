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

// compareFlags parses the flags of the commands that compare two brokers, and returns which these are.
func compareFlags(o *diff.Options, args []string) (a, b string, ok bool) {
	fs := flag.NewFlagSet(o.Name, flag.ContinueOnError)
	fs.StringVar(&a, "a", "kafka", "the broker that is right")
	fs.StringVar(&b, "b", "dmq", "the broker that is judged")
	fs.StringVar(&o.Only, "run", "", "run the cases whose name matches this expression")
	fs.BoolVar(&o.Plant, "plant", false, "change one answer of the second broker: the run has to fail")
	fs.BoolVar(&o.Dump, "dump", false, "print what each broker answered")
	fs.BoolVar(&o.Summary, "summary", false, "print the kinds of differences at the end")
	fs.IntVar(&o.Workers, "workers", o.Workers, "cases at a time")
	fs.BoolVar(&o.Verbose, "v", false, "print passed cases too, and the slowest")
	return a, b, fs.Parse(args) == nil
}

func compare(ctx context.Context, args []string, properties map[string]string, o diff.Options) (code int, err error) {
	kindA, kindB, ok := compareFlags(&o, args)
	if !ok {
		return 2, nil
	}
	var brokers []*peer.Broker
	for _, kind := range []string{kindA, kindB} {
		broker, done, err := startBroker(ctx, kind, peer.Options{Properties: properties})
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, done()) }() // the error of the function
		brokers = append(brokers, broker)
	}
	target := func(b *peer.Broker) diff.Target {
		return diff.Target{Name: b.Kind, Addr: b.Addr, ControllerAddr: b.ControllerAddr, DataDir: b.DataDir}
	}
	o.A, o.B, o.Expect, o.Out = target(brokers[0]), target(brokers[1]), kindA != kindB, os.Stdout
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

// runThree compares clusters of three nodes: compat three [-b kafka] [-run EXPR].
func runThree(ctx context.Context, args []string) (int, error) {
	return compareClusters(ctx, args, diff.Options{Name: "three", Cases: diff.ClusterCases(), Workers: 4}, false)
}

// runVoters compares clusters of three nodes, of which one is a voter at first: compat voters [-b kafka].
func runVoters(ctx context.Context, args []string) (int, error) {
	return compareClusters(ctx, args, diff.Options{Name: "voters", Cases: diff.VoterCases(), Workers: 1}, true)
}

func compareClusters(ctx context.Context, args []string, o diff.Options, dynamic bool) (code int, err error) {
	a, b, ok := compareFlags(&o, args)
	if !ok {
		return 2, nil
	}
	var targets []diff.Target
	for _, kind := range []string{a, b} {
		c, done, err := startNodes(ctx, kind, 3, peer.ClusterOptions{
			Options: peer.Options{Properties: diff.ClusterProperties(), Heap: "320m"}, Racks: true, Dynamic: dynamic,
		})
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, done()) }() // the error of the function
		targets = append(targets, clusterTarget(ctx, c))
	}
	o.A, o.B, o.Expect, o.Out = targets[0], targets[1], a != b, os.Stdout
	r, err := diff.Run(o)
	if err != nil {
		return 0, err
	}
	return r.Close(), nil
}

func clusterTarget(ctx context.Context, c *peer.Cluster) diff.Target {
	t := diff.Target{
		Name: c.Kind, Addr: c.Nodes[0].Addr, ControllerAddr: c.Nodes[0].ControllerAddr,
		Kill:  func(id int32) error { return c.Node(id).Kill() },
		Start: func(id int32) error { return errors.Join(c.Node(id).Restart(ctx), c.Formed(ctx)) },
	}
	for _, n := range c.Nodes {
		t.Nodes = append(t.Nodes, diff.Node{ID: n.ID, Addr: n.Addr, ControllerAddr: n.ControllerAddr})
	}
	return t
}
