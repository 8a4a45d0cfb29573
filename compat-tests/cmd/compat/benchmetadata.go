package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/distributedmq/dmq/compat-tests/failover"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// benchMetadata measures how fast three nodes create and delete topics: compat bench-metadata [-clients 16] [-brokers dmq/kafka].
func benchMetadata(ctx context.Context, args []string) (int, error) {
	fs := flag.NewFlagSet("bench-metadata", flag.ContinueOnError)
	kinds := fs.String("brokers", "dmq/kafka", "which are measured")
	clients := fs.Int("clients", 16, "how many create topics")
	duration := fs.Duration("duration", 5*time.Second, "of each round")
	rounds := fs.Int("rounds", 3, "on one cluster: the first of a JVM is slow")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	for _, kind := range strings.Split(*kinds, "/") {
		c, done, err := startNodes(ctx, kind, 3, peer.ClusterOptions{})
		if err != nil {
			return 2, err
		}
		for n := range *rounds {
			created, deleted, roundErr := failover.Topics(ctx, c, *clients, *duration)
			if roundErr != nil {
				err = fmt.Errorf("%s: %w\n%s", kind, roundErr, c.LogTails(5))
				break
			}
			fmt.Printf("%-6s round %d, %d clients: created %s, deleted %s\n", kind, n+1, *clients, created, deleted)
		}
		if err := errors.Join(err, done()); err != nil {
			return 2, err
		}
	}
	return 0, nil
}
