package main

import (
	"context"
	"errors"
	"flag"
	"os"

	"github.com/distributedmq/dmq/compat-tests/datadir"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// runDataDir carries data directories between Kafka and a broker: compat datadir [-broker dmq|kafka].
func runDataDir(ctx context.Context, args []string) (int, error) {
	fs := flag.NewFlagSet("datadir", flag.ContinueOnError)
	kind := fs.String("broker", "dmq", "the broker that opens Kafka's folder and writes for the way back: dmq, or kafka to prove the test")
	keep := fs.String("keep", "", "work in this folder and leave it there")
	verbose := fs.Bool("v", false, "print passed checks too")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	h, err := peer.KafkaHome(ctx)
	if err != nil {
		return 0, err
	}
	dir := *keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "compat-datadir-"); err != nil {
			return 0, err
		}
	}
	o := datadir.Options{Kafka: h, Dir: dir, Out: os.Stdout, Verbose: *verbose, IsKafka: *kind == "kafka"}
	if o.Start, err = starter(ctx, *kind); err != nil {
		return 0, err
	}
	code := datadir.Run(ctx, o).Close()
	if *keep == "" {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return code, err
}
