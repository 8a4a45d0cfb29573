package librdkafka

import (
	"context"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/distributedmq/dmq/compat-tests/go/member"
)

// Member joins a group with librdkafka.
func Member(o member.Options, e *member.Events) (leave func() error, err error) {
	cfg := kafka.ConfigMap{
		"bootstrap.servers": o.Addr, "group.id": o.Group, "enable.auto.commit": false, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100,
		"topic.metadata.refresh.interval.ms": 1000, "topic.metadata.refresh.fast.interval.ms": 50, "group.protocol": o.Protocol, "reconnect.backoff.max.ms": 500,
	}
	if o.Protocol == "classic" {
		cfg["session.timeout.ms"] = int(o.Session.Milliseconds())
		cfg["heartbeat.interval.ms"] = int(min(300*time.Millisecond, o.Session/3).Milliseconds())
		cfg["max.poll.interval.ms"] = max(20000, int(o.Session.Milliseconds()))
		cfg["partition.assignment.strategy"] = o.Assignor
	} else if o.Assignor != "" {
		cfg["group.remote.assignor"] = o.Assignor
	}
	if o.Instance != "" {
		cfg["group.instance.id"] = o.Instance
	}
	c, err := kafka.NewConsumer(&cfg)
	if err != nil {
		return nil, err
	}
	held := new(member.Held)
	rebalanced := func(_ *kafka.Consumer, ev kafka.Event) error {
		switch ev := ev.(type) {
		case kafka.AssignedPartitions:
			held.Add(e, partitions(ev.Partitions)...)
		case kafka.RevokedPartitions:
			held.Remove(e, partitions(ev.Partitions)...)
		}
		return nil
	}
	if err := c.SubscribeTopics([]string{o.Topic}, rebalanced); err != nil {
		return nil, err
	}
	return member.Loop(func(ctx context.Context) {
		for ctx.Err() == nil {
			switch ev := c.Poll(50).(type) {
			case *kafka.Message:
				e.Record(ev.TopicPartition.Partition, int64(ev.TopicPartition.Offset), ev.Value)
				committed, err := c.CommitMessage(ev)
				if err != nil {
					e.Error(err)
					continue
				}
				for _, tp := range committed {
					if tp.Error == nil {
						e.Committed(tp.Partition, int64(tp.Offset))
					}
				}
			case kafka.Error:
				e.Error(ev)
			}
		}
	}, c.Close), nil
}

func partitions(list []kafka.TopicPartition) []int32 {
	out := make([]int32, len(list))
	for i, tp := range list {
		out[i] = tp.Partition
	}
	return out
}
