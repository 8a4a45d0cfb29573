package main

import (
	"context"
	"errors"
	"os"

	"github.com/distributedmq/dmq/compat-tests/groupdata"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// runGroupData has Apache Kafka write the records of __consumer_offsets that the tests of broker/group read: compat groupdata.
func runGroupData(ctx context.Context, _ []string) (int, error) {
	h, err := peer.KafkaHome(ctx)
	if err != nil {
		return 0, err
	}
	root, err := peer.Root()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "compat-groupdata-")
	if err != nil {
		return 0, err
	}
	return 0, errors.Join(groupdata.Run(ctx, h, root, dir), os.RemoveAll(dir))
}
