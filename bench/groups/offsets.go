package groups

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/distributedmq/dmq/bench/raw"
)

// The offsets that a restarted broker has to load: those of many groups without members.
const (
	filledTopic      = "filled"
	filledPartitions = 100
)

func filledGroup(n int) *member { return &member{group: fmt.Sprintf("filled-%d", n), epoch: -1} }

// oneOfEach returns a group for each of the 50 partitions of the offsets topic.
func oneOfEach() []*member {
	const partitions = 50 // offsets.topic.num.partitions
	var some []*member
	seen := map[int32]bool{}
	for n := 0; len(some) < partitions; n++ {
		m := filledGroup(n)
		var hash int32 // of Java's strings
		for _, b := range []byte(m.group) {
			hash = 31*hash + int32(b)
		}
		if p := hash & 0x7fffffff % partitions; !seen[p] {
			seen[p] = true
			some = append(some, m)
		}
	}
	return some
}

// Fill commits so many offsets, 100 with a request, by 4 connections with 16 requests in flight each.
func Fill(ctx context.Context, b Broker, offsets int) (Rate, error) {
	if err := createTopic(ctx, b.Addr, filledTopic, filledPartitions); err != nil {
		return Rate{}, err
	}
	clients := make([]*raw.Client, 4)
	for i := range clients {
		c, err := raw.Connect(ctx, b.Addr)
		if err != nil {
			return Rate{}, err
		}
		defer c.Close()
		clients[i] = c
	}
	for _, m := range oneOfEach() {
		if _, err := insist(ctx, clients[0], commitOf(m, filledTopic, filledPartitions), commitCode); err != nil {
			return Rate{}, err
		}
	}
	var group atomic.Int64
	return measure(b.PID, len(clients), func(i int) (int, error) {
		return pump(clients[i], 16, func() *request {
			n := int(group.Add(1)) - 1
			if n*filledPartitions >= offsets || ctx.Err() != nil {
				return nil
			}
			r := requestOf(commitOf(filledGroup(n), filledTopic, filledPartitions), commitCode)
			return &r
		})
	})
}

// Loaded waits until the offsets of Fill are answered in all partitions, and says when that was.
func Loaded(ctx context.Context, b Broker) (time.Time, error) {
	c, err := raw.Connect(ctx, b.Addr)
	if err != nil {
		return time.Time{}, err
	}
	defer c.Close()
	for _, m := range oneOfEach() {
		if _, err := insist(ctx, c, fetchOf(m.group, filledTopic, 1), fetchCode); err != nil {
			return time.Time{}, fmt.Errorf("fetch the offsets of %s: %w", m.group, err)
		}
	}
	return time.Now(), nil
}
