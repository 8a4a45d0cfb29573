package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"

	"github.com/distributedmq/dmq/compat-tests/groupdata"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// runGroupData plays groups of every kind and compares the records of __consumer_offsets with those that Kafka wrote: compat
// groupdata [-broker dmq|kafka]. With -write, Kafka plays them, and its records become the test data of broker/group.
func runGroupData(ctx context.Context, args []string) (int, error) {
	fs := flag.NewFlagSet("groupdata", flag.ContinueOnError)
	kind := fs.String("broker", "dmq", "the broker whose records are compared: dmq, or kafka to prove the test")
	write := fs.Bool("write", false, "have Kafka write the test data anew")
	verbose := fs.Bool("v", false, "print passed checks too")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	root, err := peer.Root()
	if err != nil {
		return 0, err
	}
	if *write {
		h, err := peer.KafkaHome(ctx)
		if err != nil {
			return 0, err
		}
		dir, err := os.MkdirTemp("", "compat-groupdata-")
		if err != nil {
			return 0, err
		}
		return 0, errors.Join(groupdata.Run(ctx, h, root, dir), os.RemoveAll(dir))
	}
	return checkGroupData(ctx, *kind, root, *verbose)
}

func checkGroupData(ctx context.Context, kind, root string, verbose bool) (code int, err error) {
	h, err := peer.KafkaHome(ctx)
	if err != nil {
		return 0, err
	}
	start, err := starter(ctx, kind)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "compat-groupdata-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := start(ctx, peer.Options{Dir: filepath.Join(dir, "broker"), Properties: groupdata.Properties()})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	r := groupdata.Check(ctx, b, filepath.Join(root, "broker", "group", "schema", "testdata", "broker-kafka-4.4.0.txt"), verbose, os.Stdout)
	groupdata.Journey(ctx, r, h, b, start, dir)
	return r.Close(), nil
}
