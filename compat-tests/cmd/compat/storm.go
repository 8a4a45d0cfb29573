package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"time"

	"github.com/distributedmq/dmq/compat-tests/peer"
	"github.com/distributedmq/dmq/compat-tests/storm"
)

// runStorm lets groups of hundreds of members through a storm: compat storm [-broker dmq|kafka] [-nodes N] [-long].
func runStorm(ctx context.Context, args []string) (code int, err error) {
	fs := flag.NewFlagSet("storm", flag.ContinueOnError)
	kind := fs.String("broker", "dmq", "the broker to start: dmq or kafka")
	nodes := nodesFlag(fs)
	long := fs.Bool("long", false, "more groups, for longer")
	seed := fs.Uint64("seed", uint64(time.Now().UnixNano()), "of who does what when")
	o := storm.Options{Groups: 2, Members: 50, Duration: 18 * time.Second, Restarts: 2, Out: os.Stdout}
	fs.IntVar(&o.Groups, "groups", o.Groups, "how many groups of each protocol")
	fs.DurationVar(&o.Duration, "for", o.Duration, "how long it blows")
	fs.BoolVar(&o.Plant, "plant", false, "have a member commit lower offsets without a word: the run has to fail")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	if *long {
		o.Groups, o.Members, o.Duration, o.Restarts = 4, 75, 2*time.Minute, 8
	}
	c, done, err := startNodes(ctx, *kind, *nodes, peer.ClusterOptions{Options: peer.Options{Properties: storm.Properties()}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, done()) }()
	o.Nodes, o.Seed = strings.Split(c.Bootstrap(), ","), *seed
	o.Restart = restarter(ctx, c)
	o.RestartAll = func() error { return errors.Join(c.Kill(), c.Start(ctx)) }
	return storm.Run(ctx, o).Close(), nil
}

// awayTime is how long a node of several is away: others lead what it led long before.
const awayTime = 2 * time.Second

// restarter returns what restarts one node after the other. The only one is killed; of several every second one is asked to end.
func restarter(ctx context.Context, c *peer.Cluster) func() error {
	n := 0
	return func() error {
		b := c.Nodes[n%len(c.Nodes)]
		n++
		if len(c.Nodes) == 1 {
			return errors.Join(b.Kill(), b.Restart(ctx))
		}
		end := b.Kill
		if n%2 == 0 {
			end = b.Stop
		}
		if err := end(); err != nil {
			return err
		}
		select {
		case <-time.After(awayTime):
		case <-ctx.Done():
			return ctx.Err()
		}
		return errors.Join(b.Restart(ctx), c.Formed(ctx))
	}
}
