package sarama

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"

	"github.com/distributedmq/dmq/compat-tests/go/member"
)

// Member joins a group with sarama.
func Member(o member.Options, e *member.Events) (leave func() error, err error) {
	c := config()
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Session.Timeout = o.Session
	c.Consumer.Group.Heartbeat.Interval = min(300*time.Millisecond, o.Session/3)
	c.Consumer.Group.Rebalance.Timeout = 20 * time.Second
	c.Consumer.Group.Rebalance.Retry.Backoff = 100 * time.Millisecond
	c.Consumer.Group.InstanceId = o.Instance
	c.Metadata.RefreshFrequency = time.Second
	strategies := map[string]sarama.BalanceStrategy{"range": sarama.NewBalanceStrategyRange(), "roundrobin": sarama.NewBalanceStrategyRoundRobin(), "sticky": sarama.NewBalanceStrategySticky()}
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategies[o.Assignor]}
	g, err := sarama.NewConsumerGroup([]string{o.Addr}, o.Group, c)
	if err != nil {
		return nil, err
	}
	go func() { // ends with the group
		for err := range g.Errors() {
			e.Error(err)
		}
	}()
	return member.Loop(func(ctx context.Context) {
		for ctx.Err() == nil {
			if err := g.Consume(ctx, []string{o.Topic}, &handler{o: o, e: e}); err != nil && !errors.Is(err, sarama.ErrClosedConsumerGroup) {
				e.Error(err)
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
		}
	}, g.Close), nil
}

// handler is one generation of a member.
type handler struct {
	o member.Options
	e *member.Events
}

func (h *handler) Setup(s sarama.ConsumerGroupSession) error {
	h.e.Assigned(s.Claims()[h.o.Topic])
	return nil
}

func (h *handler) Cleanup(sarama.ConsumerGroupSession) error {
	h.e.Assigned(nil)
	return nil
}

func (h *handler) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			h.e.Record(m.Partition, m.Offset, m.Value)
			s.MarkMessage(m, "")
			s.Commit() // has no answer: what was committed shows when somebody else goes on
		case <-s.Context().Done():
			return nil
		}
	}
}
