package group

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/coordlog/coordtest"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func TestOffsetsTranscripts(t *testing.T) {
	playTranscripts(t, "testdata/offsets/*.txt", func(t *testing.T) func(string, args) string {
		t.Helper()
		w := &offsetsWorld{classicWorld: newClassicWorld()}
		w.settings.InitialRebalanceDelay = 0
		return func(command string, a args) string { return w.play(t, command, a) }
	})
}

// offsetsWorld is a classicWorld in which offsets are committed, and records of offsets are shown.
type offsetsWorld struct{ *classicWorld }

func (w *offsetsWorld) play(t *testing.T, command string, a args) string {
	t.Helper()
	if len(a.words) > 0 && a.words[0] == "''" {
		a.words[0] = ""
	}
	w.out.Reset()
	switch command {
	case "limits":
		w.settings.OffsetMetadataMaxBytes = a.num("metadata", w.settings.OffsetMetadataMaxBytes)
		w.settings.OffsetsRetention = a.duration("retention", w.settings.OffsetsRetention)
		w.settings.OffsetsRetentionCheck = a.duration("check", w.settings.OffsetsRetentionCheck)
		w.shard.MaxBatch = a.num("batch", w.shard.MaxBatch)
	case "commit":
		w.commit(a)
	case "txn-commit":
		w.txnCommit(t, a)
	case "end":
		w.shard.EndTransaction(int64(a.num("producer", 0)), a.words[0] == "commit")
	case "fetch":
		w.fetch(a)
	case "delete-offsets":
		w.deleteOffsets(a)
	case "topic-deleted":
		w.do(func(fx coordlog.Effects, s *State) {
			if err := s.TopicsDeleted(fx, []DeletedTopic{{Name: a.words[0], ID: topicID(a.one("id", ""))}}); err != nil {
				t.Fatal(err)
			}
		})
	case "delete":
		w.do(func(fx coordlog.Effects, s *State) {
			s.DeleteGroup(fx, Caller{ClientID: "admin"}, a.words[0], func(resp kmsg.DeleteGroupsResponseGroup) {
				w.printf("%s\n", errcode.Name(resp.ErrorCode))
			})
		})
	case "list":
		w.list(a)
	case "describe":
		w.describeGroup(a)
	case "advance":
		w.shard.Advance(a.duration("by", 0))
		w.printf("it is %s\n", w.shard.Now().Sub(coordtest.Epoch))
	default:
		w.seen = len(w.shard.Log)
		return w.classicWorld.play(t, command, a)
	}
	w.offsetRecords(t)
	return w.out.String()
}

// topicID makes an id of a letter; none for "".
func topicID(letter string) (id protocol.TopicID) {
	copy(id[:], letter)
	return id
}

// parseOffsets reads TOPIC/PARTITION=OFFSET[:EPOCH[:METADATA]] from the named words of a command, in the order of their names, with the
// topic's id behind a dot: orders.a/0=17. A number alone in METADATA asks for so many letters.
func parseOffsets(a args) []kmsg.OffsetCommitRequestTopic {
	var topics []kmsg.OffsetCommitRequestTopic
	for _, name := range slices.Sorted(maps.Keys(a.named)) {
		place, partition, ok := strings.Cut(name, "/")
		if !ok {
			continue
		}
		topic, id, _ := strings.Cut(place, ".")
		fields := append(strings.SplitN(a.named[name], ":", 3), "", "")
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		fmt.Sscan(partition, &p.Partition)
		fmt.Sscan(fields[0], &p.Offset)
		fmt.Sscan(fields[1], &p.LeaderEpoch)
		text := fields[2]
		if n, err := strconv.Atoi(text); err == nil {
			text = strings.Repeat("x", n)
		}
		if text != "" {
			p.Metadata = &text
		}
		topics = append(topics, kmsg.OffsetCommitRequestTopic{Topic: topic, TopicID: topicID(id), Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}})
	}
	return topics
}

// commit is: commit GROUP [PERSON] [v=10] [member=…] [generation=-1] [retention=1h] OFFSET…
func (w *offsetsWorld) commit(a args) {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Topics = int16(a.num("v", 10)), a.words[0], parseOffsets(a)
	if len(a.words) > 1 {
		p := w.person(a.words[1])
		req.MemberID, req.Generation = p.memberID, p.generation
	}
	req.MemberID, req.Generation, req.InstanceID = a.one("member", req.MemberID), int32(a.num("generation", int(req.Generation))), a.nullable("instance")
	if d := a.duration("retention", -1); d >= 0 {
		req.RetentionTimeMillis = d.Milliseconds()
	}
	w.do(func(fx coordlog.Effects, s *State) {
		s.OffsetCommit(fx, Caller{ClientID: "a-client"}, req, func(resp *kmsg.OffsetCommitResponse) {
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					w.printf("%s-%d: v%d %s\n", t.Topic, p.Partition, resp.Version, errcode.Name(p.ErrorCode))
				}
			}
		})
	})
}

// txnCommit is: txn-commit GROUP producer=7 OFFSET…. It appends what TxnOffsetCommit would.
func (w *offsetsWorld) txnCommit(t *testing.T, a args) {
	t.Helper()
	for _, topic := range parseOffsets(a) {
		for _, p := range topic.Partitions {
			v := schema.OffsetCommitValue{Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, CommitTimestampMillis: w.shard.Now().UnixMilli(), ExpireTimestampMillis: -1, TopicID: topic.TopicID}
			r := coordlog.NewRecord(schema.AppendOffsetCommitKey(nil, a.words[0], topic.Topic, p.Partition), v.Append(nil))
			r.ProducerID = int64(a.num("producer", 0))
			if err := w.shard.Append(r); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// fetch is: fetch GROUP [member=…] [epoch=…] [stable=1] [TOPIC[.ID]/PARTITION…]; without a partition, all.
func (w *offsetsWorld) fetch(a args) {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.MemberID, g.MemberEpoch = a.words[0], a.nullable("member"), int32(a.num("epoch", -1))
	for _, word := range a.words[1:] {
		place, partition, _ := strings.Cut(word, "/")
		topic, id, _ := strings.Cut(place, ".")
		n, _ := strconv.Atoi(partition)
		g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: topic, TopicID: topicID(id), Partitions: []int32{int32(n)}})
	}
	w.do(func(fx coordlog.Effects, s *State) {
		s.OffsetFetch(fx, &g, a.num("stable", 0) == 1, func(resp kmsg.OffsetFetchResponseGroup) {
			w.printf("%q %s\n", resp.Group, errcode.Name(resp.ErrorCode))
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					w.printf("  %s-%d: %s offset=%d epoch=%d metadata=%q\n", t.Topic, p.Partition, errcode.Name(p.ErrorCode), p.Offset, p.LeaderEpoch, *p.Metadata)
				}
			}
		})
	})
}

// deleteOffsets is: delete-offsets GROUP TOPIC/PARTITION…
func (w *offsetsWorld) deleteOffsets(a args) {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = a.words[0]
	for _, word := range a.words[1:] {
		topic, partition, _ := strings.Cut(word, "/")
		n, _ := strconv.Atoi(partition)
		req.Topics = append(req.Topics, kmsg.OffsetDeleteRequestTopic{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: int32(n)}}})
	}
	w.do(func(fx coordlog.Effects, s *State) {
		s.OffsetDelete(fx, req, func(resp *kmsg.OffsetDeleteResponse) {
			w.printf("%s\n", errcode.Name(resp.ErrorCode))
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					w.printf("  %s-%d: %s\n", t.Topic, p.Partition, errcode.Name(p.ErrorCode))
				}
			}
		})
	})
}

// list is: list [states=…,…] [types=…,…]. An underscore stands for a space.
func (w *offsetsWorld) list(a args) {
	req := kmsg.NewPtrListGroupsRequest()
	for _, s := range a.list("states", "") {
		req.StatesFilter = append(req.StatesFilter, strings.ReplaceAll(s, "_", " "))
	}
	for _, s := range a.list("types", "") {
		req.TypesFilter = append(req.TypesFilter, strings.ReplaceAll(s, "_", " "))
	}
	w.do(func(fx coordlog.Effects, s *State) {
		s.ListGroups(fx, req, func(groups []kmsg.ListGroupsResponseGroup) {
			for _, g := range groups {
				w.printf("%q protocol=%q state=%s type=%s\n", g.Group, g.ProtocolType, g.GroupState, g.GroupType)
			}
		})
	})
}

func (w *offsetsWorld) describeGroup(a args) {
	w.do(func(fx coordlog.Effects, s *State) {
		s.DescribeGroup(fx, int16(a.num("v", 6)), a.words[0], func(g kmsg.DescribeGroupsResponseGroup) {
			w.printf("%q %s %s type=%q protocol=%q members=%d message=%s\n", g.Group, errcode.Name(g.ErrorCode), g.State, g.ProtocolType, g.Protocol, len(g.Members), or(g.ErrorMessage))
		})
	})
}

// offsetRecords prints the records that were appended since the last time.
func (w *offsetsWorld) offsetRecords(t *testing.T) {
	t.Helper()
	log := w.shard.Log[w.seen:]
	const shown = 20
	for i, r := range log {
		if i == shown {
			w.printf("and %d more records\n", len(log)-shown)
			break
		}
		w.offsetRecord(t, r)
	}
	w.seen = len(w.shard.Log)
}

func (w *offsetsWorld) offsetRecord(t *testing.T, r coordlog.Record) {
	t.Helper()
	k, err := schema.DecodeOffsetCommitKey(r.Key)
	if typ, _ := schema.TypeOf(r.Key); typ != schema.OffsetCommit || err != nil {
		key, err := schema.DecodeKey(r.Key)
		if err != nil || r.Value != nil {
			t.Fatalf("an unexpected record of type %s: %v", typ, err)
		}
		w.printf("record %s %q tombstone\n", typ, key.Group)
		return
	}
	w.printf("record %q %s-%d", k.Group, k.Topic, k.Partition)
	if r.Value == nil {
		w.printf(" tombstone\n")
		return
	}
	v, err := schema.DecodeOffsetCommitValue(r.Value)
	if err != nil {
		t.Fatal(err)
	}
	since := func(millis int64) time.Duration { return time.UnixMilli(millis).Sub(coordtest.Epoch) }
	w.printf(" v%d offset=%d epoch=%d metadata=%q at=%s", r.Value[1], v.Offset, v.LeaderEpoch, v.Metadata, since(v.CommitTimestampMillis))
	if v.ExpireTimestampMillis >= 0 {
		w.printf(" expires=%s", since(v.ExpireTimestampMillis))
	}
	if !v.TopicID.IsZero() {
		w.printf(" id=%s", strings.TrimRight(string(v.TopicID[:]), "\x00"))
	}
	if r.ProducerID >= 0 {
		w.printf(" producer=%d", r.ProducerID)
	}
	w.printf("\n")
}
