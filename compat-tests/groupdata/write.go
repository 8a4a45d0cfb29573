package groupdata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// writer plays groups on a broker. Each member has a client of its own: a join waits for the others.
type writer struct {
	addr    string
	clients []*kgo.Client
	topics  map[string][16]byte
}

func (w *writer) close() {
	for _, cl := range w.clients {
		cl.Close()
	}
}

// client returns a client that is called name and uses at most these versions of API keys.
func (w *writer) client(name string, max map[int16]int16) (*kgo.Client, error) {
	versions := kversion.Stable()
	for key, version := range max {
		versions.SetMaxKeyVersion(key, version)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.addr), kgo.ClientID(name), kgo.MaxVersions(versions))
	if err == nil {
		w.clients = append(w.clients, cl)
	}
	return cl, err
}

// byName are the versions in which offsets are fetched by a topic's name.
var byName = map[int16]int16{9: 9}

// ask sends a request and decodes the answer.
func ask[R kmsg.Response](ctx context.Context, cl *kgo.Client, req kmsg.Request) (R, error) {
	var none R
	resp, err := cl.Request(ctx, req)
	if err != nil {
		return none, fmt.Errorf("%T: %w", req, err)
	}
	return resp.(R), nil
}

// step is a part of what is played.
type step struct {
	name string
	play func(context.Context) error
}

// served are the steps that dmq serves, too.
func (w *writer) served() []step {
	return []step{
		{"topics", w.createTopics},
		{"simple groups", w.simple},
		{"classic groups", w.classic},
		{"consumer groups", w.consumer},
		{"a group that is upgraded", w.upgraded},
		{"a deleted topic", w.deletedTopic},
	}
}

func (w *writer) play(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := s.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (w *writer) createTopics(ctx context.Context) error {
	cl, err := w.client("setup", nil)
	if err != nil {
		return err
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 15000
	for name, partitions := range map[string]int32{"orders": 3, "payments": 1, "shipments": 2, "gone": 1} {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
		req.Topics = append(req.Topics, t)
	}
	resp, err := ask[*kmsg.CreateTopicsResponse](ctx, cl, req)
	if err != nil {
		return err
	}
	w.topics = map[string][16]byte{}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("create %s: %w", t.Topic, err)
		}
		w.topics[t.Topic] = t.TopicID
	}
	return nil
}

// offset is one to commit.
type offset struct {
	topic     string
	partition int32
	at        int64
	epoch     int32
	metadata  string
}

// commit commits for a member, or with generation -1 for nobody.
func (w *writer) commit(ctx context.Context, cl *kgo.Client, group, member string, generation int32, offsets ...offset) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	return w.send(ctx, cl, req, offsets)
}

func (w *writer) send(ctx context.Context, cl *kgo.Client, req *kmsg.OffsetCommitRequest, offsets []offset) error {
	for _, o := range offsets {
		t, p := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
		t.Topic, t.TopicID = o.topic, w.topics[o.topic]
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = o.partition, o.at, o.epoch, &o.metadata
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
	}
	resp, err := ask[*kmsg.OffsetCommitResponse](ctx, cl, req)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("commit %s for %s: %w", t.Topic, req.Group, err)
			}
		}
	}
	return nil
}

// simple writes groups without members: overwritten, deleted, with a time to live, from an old client, deleted as a whole.
func (w *writer) simple(ctx context.Context) error {
	cl, err := w.client("simple-client", nil)
	if err != nil {
		return err
	}
	for i := range int64(3) {
		if err := w.commit(ctx, cl, "simple", "", -1, offset{"orders", 0, 10 + i, 0, ""}, offset{"orders", 2, 20 + i, -1, "meta ✓"}, offset{"payments", 0, i, -1, ""}); err != nil {
			return err
		}
	}
	if err := w.deleteOffset(ctx, cl, "simple", "payments", 0); err != nil {
		return err
	}
	old, err := w.client("old-client", map[int16]int16{8: 4})
	if err != nil {
		return err
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.RetentionTimeMillis = "simple-expiring", -1, (1000 * 24 * time.Hour).Milliseconds()
	if err := w.send(ctx, old, req, []offset{{"orders", 1, 7, -1, "kept for long"}}); err != nil {
		return err
	}
	if err := w.commit(ctx, old, "", "", -1, offset{"orders", 1, 8, -1, "no group id"}); err != nil {
		return err
	}
	if err := w.commit(ctx, cl, "simple-deleted", "", -1, offset{"orders", 0, 1, -1, ""}, offset{"shipments", 1, 2, -1, ""}); err != nil {
		return err
	}
	return w.deleteGroup(ctx, cl, "simple-deleted")
}

func (w *writer) deleteOffset(ctx context.Context, cl *kgo.Client, group, topic string, partition int32) error {
	req := kmsg.NewPtrOffsetDeleteRequest()
	t, p := kmsg.NewOffsetDeleteRequestTopic(), kmsg.NewOffsetDeleteRequestTopicPartition()
	t.Topic, p.Partition = topic, partition
	t.Partitions = append(t.Partitions, p)
	req.Group, req.Topics = group, append(req.Topics, t)
	resp, err := ask[*kmsg.OffsetDeleteResponse](ctx, cl, req)
	if err != nil {
		return err
	}
	return errors.Join(kerr.ErrorForCode(resp.ErrorCode), kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode))
}

func (w *writer) deleteGroup(ctx context.Context, cl *kgo.Client, group string) error {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{group}
	resp, err := ask[*kmsg.DeleteGroupsResponse](ctx, cl, req)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Groups[0].ErrorCode)
}

// others writes records of types that are not served: a share and a streams group.
func (w *writer) others(ctx context.Context) error {
	cl, err := w.client("others-client", map[int16]int16{88: 1}) // StreamsGroupHeartbeat, which the client does not count as stable
	if err != nil {
		return err
	}
	share := kmsg.NewPtrShareGroupHeartbeatRequest()
	share.GroupID, share.MemberID, share.SubscribedTopicNames = "share", "AAAAAAAAAAAAAAAAAAAAAQ", []string{"orders"}
	if resp, err := ask[*kmsg.ShareGroupHeartbeatResponse](ctx, cl, share); err != nil {
		return err
	} else if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	streams := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	streams.Group, streams.MemberID, streams.RebalanceTimeoutMillis = "streams", "AAAAAAAAAAAAAAAAAAAAAg", 60000
	streams.ProcessID = new("process-1")
	streams.ActiveTasks, streams.StandbyTasks, streams.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	streams.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{}
	sub := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
	sub.SubtopologyID, sub.SourceTopics = "0", []string{"orders"}
	streams.Topology.Subtopologies = append(streams.Topology.Subtopologies, sub)
	resp, err := cl.Broker(1).RetriableRequest(ctx, streams) // the client does not know by itself where that goes
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.(*kmsg.StreamsGroupHeartbeatResponse).ErrorCode)
}

func (w *writer) deletedTopic(ctx context.Context) error {
	cl, err := w.client("late-client", byName)
	if err != nil {
		return err
	}
	if err := w.commit(ctx, cl, "simple", "", -1, offset{"gone", 0, 99, -1, ""}); err != nil {
		return err
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = new("gone")
	req.TimeoutMillis, req.TopicNames, req.Topics = 15000, []string{"gone"}, append(req.Topics, t)
	if _, err := ask[*kmsg.DeleteTopicsResponse](ctx, cl, req); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) { // the coordinator hears of it later
		topics, err := fetchAll(ctx, cl, "simple", false)
		return !slices.ContainsFunc(topics, func(t kmsg.OffsetFetchResponseGroupTopic) bool { return t.Topic == "gone" }), err
	})
}

// fetchAll returns all offsets of a group.
func fetchAll(ctx context.Context, cl *kgo.Client, group string, requireStable bool) ([]kmsg.OffsetFetchResponseGroupTopic, error) {
	req, g := kmsg.NewPtrOffsetFetchRequest(), kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	req.RequireStable, req.Groups = requireStable, append(req.Groups, g)
	resp, err := ask[*kmsg.OffsetFetchResponse](ctx, cl, req)
	if err != nil {
		return nil, err
	}
	return resp.Groups[0].Topics, kerr.ErrorForCode(resp.Groups[0].ErrorCode)
}

// poll tries until it is done.
func poll(ctx context.Context, try func() (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := try(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
