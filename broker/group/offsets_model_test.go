package group

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/coordlog/coordtest"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// offsetsModel is what the offsets of simple groups have to be: one map, and one for each open transaction.
type offsetsModel struct {
	shard     *coordtest.Shard[*State]
	settings  Settings
	committed map[groupPartition]modelOffset
	pending   map[int64]map[groupPartition]modelOffset
	groups    map[string]bool
	seq       int // counts commits
	nextCheck time.Time
}

type modelOffset struct {
	at       int64
	metadata string
	seq      int
	since    time.Time
	topicID  string
}

const (
	modelRetention = 100 * time.Second
	modelCheck     = 30 * time.Second
)

func newOffsetsModel() *offsetsModel {
	m := &offsetsModel{
		committed: make(map[groupPartition]modelOffset), pending: make(map[int64]map[groupPartition]modelOffset), groups: make(map[string]bool),
		settings: Settings{OffsetMetadataMaxBytes: 10, OffsetsRetention: modelRetention, OffsetsRetentionCheck: modelCheck},
	}
	m.shard = coordtest.New(newTestState(&m.settings))
	m.nextCheck = m.shard.Now().Add(modelCheck)
	return m
}

func drawPartition(t *rapid.T) groupPartition {
	return groupPartition{
		group:     rapid.SampledFrom([]string{"g", "h", ""}).Draw(t, "group"),
		topic:     rapid.SampledFrom([]string{"orders", "payments"}).Draw(t, "topic"),
		partition: rapid.Int32Range(0, 4).Draw(t, "partition"),
	}
}

func (m *offsetsModel) draw(t *rapid.T) (groupPartition, modelOffset) {
	m.seq++
	return drawPartition(t), modelOffset{
		at: rapid.Int64Range(0, 1000).Draw(t, "offset"), seq: m.seq, since: m.shard.Now(),
		metadata: rapid.SampledFrom([]string{"", "note", "far too long"}).Draw(t, "metadata"),
		topicID:  rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "id"),
	}
}

func (m *offsetsModel) commit(t *rapid.T) {
	p, o := m.draw(t)
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group = 9, p.group
	partition := kmsg.NewOffsetCommitRequestTopicPartition()
	partition.Partition, partition.Offset, partition.Metadata = p.partition, o.at, &o.metadata
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: p.topic, TopicID: topicID(o.topicID), Partitions: []kmsg.OffsetCommitRequestTopicPartition{partition}}}
	m.shard.Do(func(fx coordlog.Effects, s *State) {
		s.OffsetCommit(fx, Caller{}, req, func(resp *kmsg.OffsetCommitResponse) {
			got, want := errcode.Kind(resp.Topics[0].Partitions[0].ErrorCode), errcode.KindNone
			if len(o.metadata) > m.settings.OffsetMetadataMaxBytes {
				want = errcode.KindOffsetMetadataTooLarge
			}
			if got != want {
				t.Fatalf("commit %v: got %d, want %d", p, got, want)
			}
			if want == errcode.KindNone {
				m.committed[p] = o
				m.groups[p.group] = true
			}
		})
	})
}

func (m *offsetsModel) txnCommit(t *rapid.T) {
	p, o := m.draw(t)
	producer := rapid.Int64Range(1, 3).Draw(t, "producer")
	v := schema.OffsetCommitValue{Offset: o.at, LeaderEpoch: -1, Metadata: o.metadata, CommitTimestampMillis: o.since.UnixMilli(), ExpireTimestampMillis: -1, TopicID: topicID(o.topicID)}
	r := coordlog.NewRecord(schema.AppendOffsetCommitKey(nil, p.group, p.topic, p.partition), v.Append(nil))
	r.ProducerID = producer
	if err := m.shard.Append(r); err != nil {
		t.Fatal(err)
	}
	if m.pending[producer] == nil {
		m.pending[producer] = make(map[groupPartition]modelOffset)
	}
	m.pending[producer][p] = o
	m.groups[p.group] = true
}

func (m *offsetsModel) endTransaction(t *rapid.T) {
	producer, commit := rapid.Int64Range(1, 3).Draw(t, "producer"), rapid.Bool().Draw(t, "commit")
	m.shard.EndTransaction(producer, commit)
	for p, o := range m.pending[producer] {
		if old, ok := m.committed[p]; commit && (!ok || o.seq > old.seq) {
			m.committed[p] = o
		}
	}
	delete(m.pending, producer)
}

// end removes a partition everywhere.
func (m *offsetsModel) end(p groupPartition) {
	delete(m.committed, p)
	for _, pending := range m.pending {
		delete(pending, p)
	}
}

func (m *offsetsModel) isPending(match func(groupPartition) bool) bool {
	for _, pending := range m.pending {
		for p := range pending {
			if match(p) {
				return true
			}
		}
	}
	return false
}

func (m *offsetsModel) deleteOffsets(t *rapid.T) {
	p := drawPartition(t)
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = p.group
	req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: p.topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: p.partition}}}}
	m.shard.Do(func(fx coordlog.Effects, s *State) {
		s.OffsetDelete(fx, req, func(resp *kmsg.OffsetDeleteResponse) { m.checkFound(t, p.group, resp.ErrorCode) })
	})
	m.end(p)
}

// checkFound checks that an answer is an error just when the group does not exist.
func (m *offsetsModel) checkFound(t *rapid.T, group string, code int16) {
	want := errcode.KindGroupIDNotFound
	if m.groups[group] {
		want = errcode.KindNone
	}
	if errcode.Kind(code) != want {
		t.Fatalf("group %q: got error %d, want %d", group, code, want)
	}
}

func (m *offsetsModel) deleteGroup(t *rapid.T) {
	group := drawPartition(t).group
	m.shard.Do(func(fx coordlog.Effects, s *State) {
		s.DeleteGroup(fx, Caller{}, group, func(resp kmsg.DeleteGroupsResponseGroup) { m.checkFound(t, group, resp.ErrorCode) })
	})
	for partition := range int32(5) {
		m.end(groupPartition{group, "orders", partition})
		m.end(groupPartition{group, "payments", partition})
	}
	delete(m.groups, group)
}

func (m *offsetsModel) deleteTopic(t *rapid.T) {
	topic, id := drawPartition(t).topic, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "id")
	m.shard.Do(func(fx coordlog.Effects, s *State) {
		if err := s.TopicsDeleted(fx, []DeletedTopic{{Name: topic, ID: topicID(id)}}); err != nil {
			t.Fatal(err)
		}
	})
	var gone []groupPartition
	for _, store := range append(slices.Collect(maps.Values(m.pending)), m.committed) {
		for p, o := range store {
			if p.topic == topic && (o.topicID == "" || o.topicID == id) {
				gone = append(gone, p)
			}
		}
	}
	for _, p := range gone {
		m.end(p)
	}
}

func (m *offsetsModel) advance(t *rapid.T) {
	d := time.Duration(rapid.IntRange(1, 60).Draw(t, "seconds")) * time.Second
	end := m.shard.Now().Add(d)
	m.shard.Advance(d)
	for ; !m.nextCheck.After(end); m.nextCheck = m.nextCheck.Add(modelCheck) {
		m.expire(m.nextCheck)
	}
}

func (m *offsetsModel) expire(now time.Time) {
	for p, o := range m.committed {
		if now.Sub(o.since) >= modelRetention && !m.isPending(func(q groupPartition) bool { return q == p }) {
			delete(m.committed, p)
		}
	}
	for group := range m.groups {
		in := func(p groupPartition) bool { return p.group == group }
		if !m.isPending(in) && !slices.ContainsFunc(slices.Collect(maps.Keys(m.committed)), in) {
			delete(m.groups, group)
		}
	}
}

func (m *offsetsModel) reload(t *rapid.T) {
	next, err := m.shard.Reload(newTestState(&m.settings))
	if err != nil {
		t.Fatal(err)
	}
	m.shard, m.nextCheck = next, m.shard.Now().Add(modelCheck)
}

// check compares what clients see with the model.
func (m *offsetsModel) check(t *rapid.T) {
	var groups []string
	m.shard.Do(func(fx coordlog.Effects, s *State) {
		s.ListGroups(fx, kmsg.NewPtrListGroupsRequest(), func(listed []kmsg.ListGroupsResponseGroup) {
			for _, g := range listed {
				groups = append(groups, g.Group)
			}
		})
	})
	if want := slices.Sorted(maps.Keys(m.groups)); !slices.Equal(groups, want) {
		t.Fatalf("groups: got %q, want %q", groups, want)
	}
	for _, group := range []string{"", "g", "h"} {
		for _, stable := range []bool{false, true} {
			if diff := gocmp.Diff(m.want(group, stable), m.fetch(group, stable)); diff != "" {
				t.Fatalf("offsets of %q, stable %t: (-want +got)\n%s", group, stable, diff)
			}
		}
	}
	m.checkInvariants(t)
}

// want is what a fetch of all offsets of a group has to show.
func (m *offsetsModel) want(group string, stable bool) []string {
	var found []groupPartition
	for p := range m.committed {
		if p.group == group {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, groupPartition.compare)
	var out []string
	for _, p := range found {
		o := m.committed[p]
		if stable && m.isPending(func(q groupPartition) bool { return q == p }) {
			out = append(out, fmt.Sprintf("%s-%d UNSTABLE_OFFSET_COMMIT -1 ", p.topic, p.partition))
		} else {
			out = append(out, fmt.Sprintf("%s-%d NONE %d %s", p.topic, p.partition, o.at, o.metadata))
		}
	}
	return out
}

func (m *offsetsModel) fetch(group string, stable bool) (out []string) {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	m.shard.Do(func(fx coordlog.Effects, s *State) {
		s.OffsetFetch(fx, &g, stable, func(resp kmsg.OffsetFetchResponseGroup) {
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					out = append(out, fmt.Sprintf("%s-%d %s %d %s", t.Topic, p.Partition, errcode.Name(p.ErrorCode), p.Offset, *p.Metadata))
				}
			}
		})
	})
	return out
}

// checkInvariants checks what the comments of the offsets' types promise.
func (m *offsetsModel) checkInvariants(t *rapid.T) {
	o := &m.shard.Machine.offsets
	stores := append(slices.Collect(maps.Values(o.pending)), o.groups)
	open := openOffsets{partitions: make(map[groupPartition]int), groups: make(map[string]int)}
	for i, store := range stores {
		for id, g := range store {
			sorted := slices.IsSortedFunc(g.topics, func(a, b *topicOffsets) int { return cmp.Compare(a.topic, b.topic) })
			if len(g.topics) == 0 || !sorted {
				t.Fatalf("topics of %q: %v", id, g.topics)
			}
			for _, topic := range g.topics {
				if err := topic.check(); err != nil {
					t.Fatalf("%q in %q: %v", topic.topic, id, err)
				}
				for c := range topic.all() {
					if i < len(o.pending) {
						open.add(groupPartition{id, topic.topic, c.partition})
					}
				}
			}
		}
	}
	if diff := gocmp.Diff(open, o.open, gocmp.AllowUnexported(openOffsets{}, groupPartition{})); diff != "" {
		t.Fatalf("open transactions: (-want +got)\n%s", diff)
	}
}

// TestOffsets_Model: whatever happens, in whatever order and with fail-overs in between, the offsets of simple groups are those
// of the model.
func TestOffsets_Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newOffsetsModel()
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "commit": m.commit, "commit again": m.commit, "commit in a transaction": m.txnCommit, "end a transaction": m.endTransaction,
			"delete offsets": m.deleteOffsets, "delete a group": m.deleteGroup, "delete a topic": m.deleteTopic, "advance": m.advance, "reload": m.reload,
		})
	})
}
