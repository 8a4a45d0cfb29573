package controller

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// Script drives the controller's decisions without a quorum: every decision that changes something is applied at once.
type Script struct {
	Now      time.Time
	decider  *decider
	builder  *image.Builder
	view     *view
	position int64
	ids      byte
}

// NewScript begins with an empty cluster.
func NewScript(o Options, clusterID string) *Script {
	c := New(o)
	s := &Script{Now: time.UnixMilli(1_000_000), decider: c.decider, builder: image.NewBuilder(image.Empty()), position: 10}
	s.decider.newID = func() (protocol.TopicID, error) {
		s.ids++
		return protocol.TopicID{15: 100 + s.ids}, nil
	}
	s.decider.directory = func(protocol.NodeID) protocol.TopicID { return protocol.TopicID{} }
	records := append([]metadata.Record{&metadata.ClusterRecord{ClusterID: clusterID}}, c.activation(image.Empty())...)
	if err := s.Apply(records); err != nil {
		panic(err)
	}
	s.decider.sessions.reset(s.view.img, s.Now)
	return s
}

// Image returns the cluster's metadata.
func (s *Script) Image() *image.Image { return s.view.img }

// Apply commits records.
func (s *Script) Apply(records []metadata.Record) error {
	s.position++
	if err := s.builder.Apply(s.position, &metadata.Command{Records: records}); err != nil {
		return err
	}
	if s.view != nil {
		s.view.expect(records)
	} else {
		s.view = newView(image.Empty())
	}
	img, _ := s.builder.Build()
	s.view.img = img
	if fresh := newView(img); !equalViews(fresh, s.view) {
		return fmt.Errorf("the view's indexes %+v, computed anew %+v", *s.view, *fresh)
	}
	return nil
}

func equalViews(a, b *view) bool {
	for _, v := range []*view{a, b} {
		for _, counts := range []map[protocol.NodeID]int{v.leaders, v.holders} {
			maps.DeleteFunc(counts, func(_ protocol.NodeID, n int) bool { return n == 0 })
		}
	}
	return maps.Equal(a.leaders, b.leaders) && maps.Equal(a.holders, b.holders) && fmt.Sprint(a.collides) == fmt.Sprint(b.collides)
}

// Request decides a request and commits the outcome.
func (s *Script) Request(req kmsg.Request) (kmsg.Response, []metadata.Record, error) {
	if r, ok := req.(*kmsg.BrokerHeartbeatRequest); ok {
		s.decider.sessions.contact(protocol.NodeID(r.BrokerID), protocol.BrokerEpoch(r.BrokerEpoch), s.Now)
	}
	return s.commit(s.decider.decision(req)(s.view, s.Now))
}

func (s *Script) commit(d decision, err error) (kmsg.Response, []metadata.Record, error) {
	if err != nil {
		return nil, nil, err
	}
	if len(d.records) > 0 {
		// What the log carries is what is applied.
		c, err := metadata.DecodeCommand((&metadata.Command{Records: d.records}).Encode())
		if err != nil {
			return nil, nil, err
		}
		if err := s.Apply(c.Records); err != nil {
			return nil, nil, err
		}
	}
	s.decider.sessions.sync(s.view.img)
	return d.respond(s.view.img), slices.Clone(d.records), nil
}

// Expire fences the brokers whose session has ended and returns the records.
func (s *Script) Expire() ([]metadata.Record, error) {
	var all []metadata.Record
	for {
		id, at, ok := s.decider.sessions.next(s.view.img, s.Now)
		if !ok || s.Now.Before(at) {
			return all, nil
		}
		_, records, err := s.commit(s.decider.fenceStale(s.view, id, s.Now), nil)
		if err != nil {
			return nil, err
		}
		all = append(all, records...)
	}
}

// Lost fences an incarnation whose process is gone and returns the records.
func (s *Script) Lost(id protocol.NodeID, incarnation protocol.TopicID) ([]metadata.Record, error) {
	_, records, err := s.commit(s.decider.fenceLost(s.view, id, incarnation), nil)
	return records, err
}

// DecideLost decides as Lost does and commits nothing.
func (s *Script) DecideLost(id protocol.NodeID) []metadata.Record {
	return s.decider.fenceLost(s.view, id, s.view.img.Brokers[id].IncarnationID).records
}

// Expect brings indexes of the present image forward by records.
func (s *Script) Expect(records []metadata.Record) { newView(s.view.img).expect(records) }

// NewView computes the indexes that a new controller needs.
func (s *Script) NewView() { newView(s.view.img) }

// Balance moves leaderships back to preferred replicas and returns the records.
func (s *Script) Balance(limit int) ([]metadata.Record, error) {
	_, records, err := s.commit(s.decider.balanceLeaders(s.view, limit), nil)
	return records, err
}
