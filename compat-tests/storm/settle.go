package storm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

const offsetFetchKey = 9

// samplingClient asks for committed offsets by topic name, as the versions that use ids need the client to know them.
func samplingClient(addr string) (*kgo.Client, error) {
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(offsetFetchKey, 9)
	return kgo.NewClient(kgo.SeedBrokers(addr), kgo.MaxVersions(versions))
}

// sample reads the committed offsets of a group again and again. A request that fails says nothing.
func (s *storm) sample(ctx context.Context, g group) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		_, _ = s.committed(ctx, g)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// committed reads the committed offsets of a group once and notes them.
func (s *storm) committed(ctx context.Context, g group) (map[int32]int64, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	t := kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic = topic
	for p := range int32(partitions) {
		t.Partitions = append(t.Partitions, p)
	}
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group, rg.Topics = g.name, append(rg.Topics, t)
	req.Groups = append(req.Groups, rg)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	asked := s.rec.tick()
	resp, err := req.RequestWith(ctx, s.admin)
	answered := s.rec.tick()
	if err != nil {
		return nil, err
	}
	if len(resp.Groups) != 1 || len(resp.Groups[0].Topics) != 1 {
		return nil, errors.New("the answer has not one group with one topic")
	}
	if err := kerr.ErrorForCode(resp.Groups[0].ErrorCode); err != nil {
		return nil, err
	}
	offsets := map[int32]int64{}
	for _, p := range resp.Groups[0].Topics[0].Partitions {
		if p.ErrorCode == 0 {
			offsets[p.Partition] = p.Offset
		}
	}
	s.rec.note(func(h *History) {
		for p, offset := range offsets {
			h.Samples = append(h.Samples, Sample{g.name, p, offset, asked, answered})
		}
	})
	return offsets, nil
}

// settle has a few members per group read the rest.
func (s *storm) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	if err := s.readEnds(ctx); err != nil {
		return err
	}
	consuming, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for _, g := range s.groups {
		for range steady {
			m, err := newMember(s.Broker.Addr, g, 10*time.Second, &s.rec)
			if err != nil {
				return err
			}
			wg.Go(func() { m.consume(consuming); m.leave() })
		}
	}
	for _, g := range s.groups {
		if err := s.waitCommitted(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// readEnds notes where the partitions end now that nobody writes.
func (s *storm) readEnds(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := kadm.NewClient(s.admin).ListEndOffsets(ctx, topic)
		if err == nil {
			err = list.Error()
		}
		if err == nil && len(list[topic]) == partitions {
			s.rec.note(func(h *History) {
				h.Ends = map[int32]int64{}
				for p, o := range list[topic] {
					h.Ends[p] = o.Offset
				}
			})
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("list the ends: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// waitCommitted waits until a group has committed the end of every partition.
func (s *storm) waitCommitted(ctx context.Context, g group) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		offsets, err := s.committed(ctx, g)
		var behind []string
		for p, end := range s.rec.h.Ends {
			if at, ok := offsets[p]; end > 0 && (!ok || at != end) {
				behind = append(behind, fmt.Sprintf("partition %d: committed %d of %d", p, at, end))
			}
		}
		if err == nil && len(behind) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %d partitions behind %v: %w", g.name, len(behind), behind[:min(3, len(behind))], errors.Join(ctx.Err(), err))
		}
	}
}

// restartSettled restarts the broker when nobody commits any more: every group has to be where it was.
func (s *storm) restartSettled(ctx context.Context) error {
	if err := s.restart(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	for _, g := range s.groups {
		if err := s.waitCommitted(ctx, g); err != nil {
			return err
		}
	}
	return nil
}
