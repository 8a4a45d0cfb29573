package franz

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/compat-tests/go/member"
)

// Member joins a group with franz-go.
func Member(o member.Options, e *member.Events) (leave func() error, err error) {
	held := new(member.Held)
	change := func(apply func(*member.Events, ...int32)) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, m map[string][]int32) { apply(e, m[o.Topic]...) }
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Addr), kgo.ConsumerGroup(o.Group), kgo.ConsumeTopics(o.Topic), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100 * time.Millisecond), kgo.MetadataMinAge(100 * time.Millisecond), kgo.MetadataMaxAge(time.Second),
		kgo.OnPartitionsAssigned(change(held.Add)), kgo.OnPartitionsRevoked(change(held.Remove)), kgo.OnPartitionsLost(change(held.Remove)),
	}
	if o.Instance != "" {
		opts = append(opts, kgo.InstanceID(o.Instance))
	}
	if o.Protocol == "consumer" {
		opts = append(opts, kgo.ServerSideBalancer())
	} else {
		opts = append(opts, kgo.SessionTimeout(o.Session), kgo.RebalanceTimeout(20*time.Second), kgo.HeartbeatInterval(min(300*time.Millisecond, o.Session/3)))
		balancers := map[string]kgo.GroupBalancer{
			"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(), "sticky": kgo.StickyBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
		}
		opts = append(opts, kgo.Balancers(balancers[o.Assignor]))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	return member.Loop(func(ctx context.Context) { poll(ctx, cl, o, e) }, func() error { cl.CloseAllowingRebalance(); return nil }), nil
}

func poll(ctx context.Context, cl *kgo.Client, o member.Options, e *member.Events) {
	for ctx.Err() == nil {
		fetches := cl.PollRecords(ctx, 50)
		if ctx.Err() != nil {
			return
		}
		fetches.EachError(func(_ string, _ int32, err error) { e.Error(err) })
		last := map[int32]int64{}
		fetches.EachRecord(func(r *kgo.Record) {
			e.Record(r.Partition, r.Offset, r.Value)
			last[r.Partition] = r.Offset + 1
		})
		if len(last) > 0 {
			commit(ctx, cl, o.Topic, last, e)
		}
		cl.AllowRebalance()
	}
}

// commit commits the next offsets of partitions and says which the broker took.
func commit(ctx context.Context, cl *kgo.Client, topic string, next map[int32]int64, e *member.Events) {
	offsets := map[string]map[int32]kgo.EpochOffset{topic: {}}
	for p, o := range next {
		offsets[topic][p] = kgo.EpochOffset{Epoch: -1, Offset: o}
	}
	cl.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		e.Error(err)
		if resp == nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode == 0 {
					e.Committed(p.Partition, next[p.Partition])
				}
			}
		}
	})
}
