package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"

	"github.com/distributedmq/dmq/compat-tests/peer"
	"github.com/distributedmq/dmq/compat-tests/transcripts"
)

// runTranscripts plays the transcripts of classic groups on a broker: compat transcripts [-broker dmq|kafka].
func runTranscripts(ctx context.Context, args []string) (int, error) {
	fs := flag.NewFlagSet("transcripts", flag.ContinueOnError)
	kind := fs.String("broker", "dmq", "the broker that plays: dmq, or kafka to prove the transcripts")
	verbose := fs.Bool("v", false, "print passed checks too")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	root, err := peer.Root()
	if err != nil {
		return 0, err
	}
	dir := filepath.Join(root, "broker", "group", "testdata", "classic")
	failed := 0
	for _, world := range []struct {
		size       int
		properties map[string]string
	}{
		{0, map[string]string{"group.initial.rebalance.delay.ms": "3000"}},
		{2, map[string]string{"group.initial.rebalance.delay.ms": "3000", "group.max.size": "2"}},
	} {
		b, done, err := startBroker(ctx, *kind, peer.Options{Properties: world.properties})
		if err != nil {
			return 0, err
		}
		r, err := transcripts.Check(ctx, os.Stdout, b.Addr, dir, world.size, *kind == "kafka", *verbose)
		if err := errors.Join(err, done()); err != nil {
			return 0, err
		}
		failed |= r.Close()
	}
	return failed, nil
}
