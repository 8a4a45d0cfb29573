package segmentio

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/distributedmq/dmq/compat-tests/go/member"
)

// Member joins a group with segmentio/kafka-go.
func Member(o member.Options, e *member.Events) (leave func() error, err error) {
	balancers := map[string]kafka.GroupBalancer{"range": kafka.RangeGroupBalancer{}, "roundrobin": kafka.RoundRobinGroupBalancer{}}
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: o.Group, Brokers: []string{o.Addr}, Topics: []string{o.Topic}, GroupBalancers: []kafka.GroupBalancer{balancers[o.Assignor]}, StartOffset: kafka.FirstOffset,
		SessionTimeout: o.Session, HeartbeatInterval: min(300*time.Millisecond, o.Session/3), RebalanceTimeout: 20 * time.Second, JoinGroupBackoff: 100 * time.Millisecond,
		WatchPartitionChanges: true, PartitionWatchInterval: time.Second, Timeout: 30 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	return member.Loop(func(ctx context.Context) {
		for ctx.Err() == nil {
			gen, err := g.Next(ctx)
			if err != nil {
				if ctx.Err() == nil && !errors.Is(err, kafka.ErrGroupClosed) {
					e.Error(err)
				}
				continue
			}
			consume(gen, o, e)
		}
	}, g.Close), nil
}

// consume reads every partition of a generation until it ends.
func consume(gen *kafka.Generation, o member.Options, e *member.Events) {
	var held []int32
	var mu sync.Mutex // the generation commits on one connection
	for _, a := range gen.Assignments[o.Topic] {
		held = append(held, int32(a.ID))
	}
	e.Assigned(held)
	for _, a := range gen.Assignments[o.Topic] {
		gen.Start(func(ctx context.Context) {
			r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{o.Addr}, Topic: o.Topic, Partition: a.ID, MaxWait: 100 * time.Millisecond, MinBytes: 1, MaxBytes: 10 << 20})
			defer r.Close()
			if err := r.SetOffset(a.Offset); err != nil {
				e.Error(err)
				return
			}
			for {
				m, err := r.ReadMessage(ctx)
				if err != nil {
					if ctx.Err() == nil && !errors.Is(err, kafka.ErrGenerationEnded) {
						e.Error(err)
					}
					return
				}
				e.Record(int32(m.Partition), m.Offset, m.Value)
				mu.Lock()
				err = gen.CommitOffsets(map[string]map[int]int64{o.Topic: {m.Partition: m.Offset + 1}})
				mu.Unlock()
				if err == nil {
					e.Committed(int32(m.Partition), m.Offset+1)
				}
				e.Error(err)
			}
		})
	}
}
