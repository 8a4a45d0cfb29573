package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/distributedmq/dmq/compat-tests/peer"
	"github.com/distributedmq/dmq/compat-tests/storm"
)

// runStorm lets groups weather members that come and go and a broker that is killed: compat storm [-broker dmq|kafka]
// [-members N] [-restarts N].
func runStorm(ctx context.Context, args []string) (code int, err error) {
	fs := flag.NewFlagSet("storm", flag.ContinueOnError)
	kind := fs.String("broker", "dmq", "the broker: dmq, or kafka to prove the test")
	members := fs.Int("members", 200, "how many members come and go")
	restarts := fs.Int("restarts", 3, "how often the broker is killed meanwhile")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	if *members < 2*(*restarts+1) || *restarts < 0 {
		return 2, fmt.Errorf("%d members are too few for %d restarts", *members, *restarts)
	}
	start, err := starter(ctx, *kind)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "compat-storm-")
	if err != nil {
		return 0, err
	}
	b, err := start(ctx, peer.Options{Dir: dir, Properties: storm.Properties()})
	if err != nil {
		return 0, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, b.Stop(), os.RemoveAll(dir)) }()
	r := storm.Run(ctx, storm.Options{Broker: b, Members: *members, Restarts: *restarts, Out: os.Stdout})
	if r.Failed > 0 {
		fmt.Printf("storm: the broker's log ends with\n%s\n", b.LogTail(10))
	}
	return r.Close(), nil
}
