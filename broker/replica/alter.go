package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Controller is the way to the active controller, wherever that is.
type Controller interface {
	// Request asks it. An error means that there is no answer; what was asked for may have been done all the same.
	Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
}

const (
	// alterPause is how long a request waits that failed, as in Kafka.
	alterPause = 50 * time.Millisecond
	// askTimeout bounds one request: while nobody answers, there is other work to do.
	askTimeout = 5 * time.Second
	// maxAltered bounds the partitions of one AlterPartition.
	maxAltered = 10_000
	// lagCheck is how often leaders look for followers that are late, at most. Kafka looks every half of
	// replica.lag.time.max.ms, so that a follower may be late by another half.
	lagCheck = time.Second
)

// alterer sends the proposals of all partitions to the controller (Kafka's AlterPartitionManager): all that wait in one
// request, and one request at a time.
type alterer struct {
	mu      sync.Mutex // guards the fields below
	waiting map[*Partition]*proposal

	wake chan struct{} // holds a value while something waits
}

func newAlterer() alterer {
	return alterer{waiting: make(map[*Partition]*proposal), wake: make(chan struct{}, 1)}
}

// add has a proposal sent, instead of an earlier one of the same partition.
func (a *alterer) add(p *Partition, q *proposal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting[p] = q
	a.signal()
}

func (a *alterer) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// alteration is a proposal on its way.
type alteration struct {
	partition *Partition
	proposal  *proposal
}

// take returns what waits, as much as goes into one request.
func (a *alterer) take() []alteration {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := make([]alteration, 0, min(len(a.waiting), maxAltered))
	for p, q := range a.waiting {
		if len(taken) == maxAltered {
			a.signal()
			break
		}
		delete(a.waiting, p)
		taken = append(taken, alteration{p, q})
	}
	return taken
}

// keepInSync keeps the in-sync replicas of the partitions that this broker leads true, until ctx ends.
func (m *Manager) keepInSync(ctx context.Context) {
	tick := time.NewTicker(max(min(m.maxLag/2, lagCheck), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.tend()
		case <-m.alters.wake:
			if !m.alter(ctx, m.alters.take()) {
				pause(ctx, alterPause)
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// tend does what only the passing of time calls for: it proposes to drop followers that are late, and waits no longer for
// those that were about to join.
func (m *Manager) tend() {
	now := time.Now()
	for _, p := range m.hosted() {
		if r := p.role.Load(); r.leads && len(r.replicas) > 1 {
			m.moved(p, p.tend(m, now), false)
		}
	}
}

// alter asks the controller for changes and takes over what it decides. It reports whether all were decided; the others wait
// to be asked for again. What the metadata has decided meanwhile is not asked for.
func (m *Manager) alter(ctx context.Context, asked []alteration) bool {
	asked = slices.DeleteFunc(asked, func(a alteration) bool { return !a.partition.proposes(a.proposal) })
	decided, err := m.ask(ctx, asked)
	if err != nil && ctx.Err() == nil {
		m.logger.WarnContext(ctx, "ask the controller to change in-sync replicas", slog.Int("partitions", len(asked)), slog.Any("err", err))
	}
	all := true
	for _, a := range asked {
		d, ok := decided[a.key()]
		if !ok {
			d.kind = errcode.KindNetworkException
		}
		if m.decided(a.partition, a.proposal, d) {
			all = false
		}
	}
	return all
}

// alteredKey names a partition in requests and answers.
type alteredKey struct {
	topic     protocol.TopicID
	partition int32
}

func (a alteration) key() alteredKey { return alteredKey{a.partition.id, a.partition.tp.Partition} }

// ask returns what the controller decided.
func (m *Manager) ask(ctx context.Context, asked []alteration) (map[alteredKey]decision, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := m.controller.Request(ctx, m.alterRequest(asked))
	if err != nil {
		return nil, err
	}
	r, ok := resp.(*kmsg.AlterPartitionResponse)
	if !ok {
		return nil, fmt.Errorf("controller answered AlterPartition with %T", resp)
	}
	if r.ErrorCode != 0 {
		return nil, errors.New("controller answered AlterPartition with " + errcode.Name(r.ErrorCode))
	}
	decided := make(map[alteredKey]decision, len(asked))
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[j]
			d := decision{
				kind: errcode.Kind(p.ErrorCode), leader: protocol.NodeID(p.LeaderID),
				leaderEpoch: protocol.LeaderEpoch(p.LeaderEpoch), partitionEpoch: p.PartitionEpoch,
			}
			for _, id := range p.ISR {
				d.isr = append(d.isr, protocol.NodeID(id))
			}
			decided[alteredKey{r.Topics[i].TopidID, p.Partition}] = d
		}
	}
	return decided, nil
}

func (m *Manager) alterRequest(asked []alteration) *kmsg.AlterPartitionRequest {
	req := kmsg.NewPtrAlterPartitionRequest()
	req.BrokerID, req.BrokerEpoch = int32(m.nodeID), int64(m.brokerEpoch())
	topics := make(map[protocol.TopicID]int)
	for _, a := range asked {
		i, ok := topics[a.partition.id]
		if !ok {
			i = len(req.Topics)
			topics[a.partition.id] = i
			t := kmsg.NewAlterPartitionRequestTopic()
			t.TopicID = a.partition.id
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewAlterPartitionRequestTopicPartition()
		p.Partition, p.LeaderEpoch, p.PartitionEpoch = a.partition.tp.Partition, int32(a.proposal.leaderEpoch), a.proposal.partitionEpoch
		for _, member := range a.proposal.isr {
			s := kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
			s.BrokerID, s.BrokerEpoch = int32(member.id), int64(member.brokerEpoch)
			p.NewEpochISR = append(p.NewEpochISR, s)
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	return req
}

// decided takes over a decision and says whether to ask again.
func (m *Manager) decided(p *Partition, q *proposal, d decision) (again bool) {
	again, moved := p.decided(m, q, d)
	m.moved(p, moved, false)
	switch {
	case again:
	case d.kind != errcode.KindNone:
		m.failedAlters.Add(1)
		m.logger.Info("the controller refused a change of in-sync replicas", p.attrs(slog.String("event", "isr.refused"),
			slog.Any("isr", q.from), slog.Any("proposed", q.members()), slog.String("code", errcode.Name(int16(d.kind))))...)
	default:
		event := "isr.shrink"
		if q.expands {
			event = "isr.expand"
			m.expands.Add(1)
		} else {
			m.shrinks.Add(1)
		}
		m.logger.Info("in-sync replicas changed", p.attrs(slog.String("event", event), slog.Any("from", q.from), slog.Any("to", d.isr))...)
	}
	return again
}

func (q *proposal) members() []protocol.NodeID {
	ids := make([]protocol.NodeID, len(q.isr))
	for i := range q.isr {
		ids[i] = q.isr[i].id
	}
	return ids
}
