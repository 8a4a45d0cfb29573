package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"time"

	"github.com/distributedmq/dmq/compat-tests/peer"
	"github.com/distributedmq/dmq/compat-tests/storm"
)

// runStorm lets groups of hundreds of members through a storm: compat storm [-broker dmq|kafka] [-long].
func runStorm(ctx context.Context, args []string) (code int, err error) {
	fs := flag.NewFlagSet("storm", flag.ContinueOnError)
	kind := fs.String("broker", "dmq", "the broker to start: dmq or kafka")
	long := fs.Bool("long", false, "more groups, for longer")
	seed := fs.Uint64("seed", uint64(time.Now().UnixNano()), "of who does what when")
	o := storm.Options{Groups: 2, Members: 50, Duration: 18 * time.Second, Restarts: 2, Out: os.Stdout}
	fs.DurationVar(&o.Duration, "for", o.Duration, "how long it blows")
	fs.BoolVar(&o.Plant, "plant", false, "have a member commit lower offsets without a word: the run has to fail")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	if *long {
		o.Groups, o.Members, o.Duration, o.Restarts = 4, 75, 2*time.Minute, 8
	}
	b, done, err := startBroker(ctx, *kind, peer.Options{Properties: storm.Properties()})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, done()) }()
	o.Addr, o.Seed = b.Addr, *seed
	o.Restart = func() error { return errors.Join(b.Kill(), b.Restart(ctx)) }
	return storm.Run(ctx, o).Close(), nil
}
