package storm

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// errNotIn says that the member has to join again.
var errNotIn = errors.New("not in the group")

// consumer is a raw member of the consumer protocol (KIP-848).
type consumer struct {
	*raw
	topicID [16]byte
	// wants is what the broker said last that the member is to have; what it has follows.
	wants []int32
}

// live joins and stays until ctx ends.
func (m *consumer) live(ctx context.Context) {
	for ctx.Err() == nil {
		if err := m.stay(ctx); err != nil && ctx.Err() == nil {
			_ = pause(ctx, 50*time.Millisecond)
		}
	}
	m.loseAll()
}

func (m *consumer) stay(ctx context.Context) error {
	if err := m.silence(ctx); err != nil {
		return err
	}
	if m.epoch == 0 || time.Since(m.lastBeat) >= beatEvery {
		if err := m.beat(ctx); err != nil {
			return err
		}
	}
	if gained, lost := m.changes(m.wants); len(gained)+len(lost) > 0 && m.epoch > 0 {
		if len(lost) > 0 { // what it read is committed while it may
			if err := m.commit(ctx); err != nil {
				return err
			}
			m.lose(lost...)
			if err := m.beat(ctx); err != nil { // says so
				return err
			}
			return nil
		}
		if err := m.gain(ctx, gained, m.lastBeat); err != nil {
			return err
		}
	}
	return m.read(ctx)
}

func (m *consumer) beat(ctx context.Context) error {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch, req.InstanceID = 1, m.group, m.id, m.epoch, m.instance
	req.RebalanceTimeoutMillis = int32(rebalanceTimeout.Milliseconds())
	req.SubscribedTopicNames = []string{m.topic}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if m.epoch > 0 && len(m.positions) > 0 {
		t := kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: m.topicID}
		for p := range m.positions {
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	sent := time.Now()
	resp, err := m.ask(ctx, req)
	if err != nil {
		return err
	}
	r := resp.(*kmsg.ConsumerGroupHeartbeatResponse)
	switch r.ErrorCode {
	case noError:
	case fencedEpoch, unknownMember:
		m.loseAll()
		m.epoch, m.wants = 0, nil
		return errNotIn
	default:
		return pause(ctx, 50*time.Millisecond)
	}
	m.epoch = r.MemberEpoch
	m.beaten(sent)
	if r.Assignment != nil {
		m.wants = nil
		for _, t := range r.Assignment.Topics {
			m.wants = append(m.wants, t.Partitions...)
		}
	}
	return nil
}

func (m *consumer) leave(ctx context.Context) {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch, req.InstanceID = 1, m.group, m.id, -1, m.instance
	if m.instance != nil && m.rng.IntN(2) == 0 {
		req.MemberEpoch = -2 // for a while
	}
	m.gone()
	_, _ = m.ask(ctx, req)
	m.cut()
}
