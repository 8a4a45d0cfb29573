package controller

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
)

// electionsLimit is how many leaders move back in one command; more follow at once.
const electionsLimit = 1000

// balancer says when leaderships are to go back to the preferred replicas (auto.leader.rebalance.enable).
type balancer struct {
	interval time.Duration
	timer    *time.Timer
}

func newBalancer(interval time.Duration) *balancer {
	b := &balancer{interval: interval, timer: time.NewTimer(interval)}
	if interval <= 0 {
		b.timer.Stop()
	}
	return b
}

// balancing is the request to move leaderships back.
func (c *Controller) balancing(b *balancer) *request {
	return &request{
		name: "leader rebalance", done: make(chan answer, 1),
		decide: func(v *view, _ time.Time) (decision, error) {
			d := c.decider.balanceLeaders(v, electionsLimit)
			if len(d.records) >= electionsLimit {
				b.timer.Reset(0)
			} else {
				b.timer.Reset(b.interval)
			}
			if len(d.records) > 0 {
				c.logger.Info("leaderships move back to preferred replicas", slog.String("event", "leaders.balanced"), slog.Int("partitions", len(d.records)))
			}
			return d, nil
		},
	}
}

// balanceLeaders decides preferred elections of partitions that another replica leads, or nobody, up to a limit.
func (d *decider) balanceLeaders(v *view, limit int) decision {
	var records []metadata.Record
	for _, at := range v.find(func(p *image.Partition) bool { return p.Leader != p.Replicas[0] }) {
		x := d.transition(v, at.topic, at.partition())
		x.election = electPreferred
		r := x.record()
		if r == nil {
			continue
		}
		r.TopicID, r.Partition = at.topic.ID, int32(at.index)
		if records = append(records, r); len(records) == limit {
			break
		}
	}
	return decision{records: records, respond: func(*image.Image) kmsg.Response { return nil }}
}
