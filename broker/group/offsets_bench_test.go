package group

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol"
)

// benchEffects replays what is appended and does nothing else.
type benchEffects struct {
	state *State
	next  int64
}

func (e *benchEffects) Now() time.Time { return time.UnixMilli(1_700_000_000_000 + e.next) }

func (e *benchEffects) Append(records ...coordlog.Record) error {
	for _, r := range records {
		r.Offset = e.next
		e.next++
		if err := e.state.Replay(r); err != nil {
			return err
		}
	}
	return nil
}

func (e *benchEffects) Reply(send func())                                     { send() }
func (e *benchEffects) SetTimer(string, time.Time, func(fx coordlog.Effects)) {}
func (e *benchEffects) CancelTimer(string)                                    {}
func (e *benchEffects) Go(func() func(fx coordlog.Effects))                   {}

func benchSettings() *Settings {
	return &Settings{OffsetMetadataMaxBytes: 4096, OffsetsRetention: time.Hour, OffsetsRetentionCheck: time.Hour}
}

// BenchmarkOffsetCommit commits for a simple group, so many partitions a request.
func BenchmarkOffsetCommit(b *testing.B) {
	for _, partitions := range []int{1, 100} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			fx := &benchEffects{state: newTestState(benchSettings())}
			req := kmsg.NewPtrOffsetCommitRequest()
			req.Version, req.Group = 9, "payments-service"
			t := kmsg.OffsetCommitRequestTopic{Topic: "orders-by-customer-and-country", TopicID: protocol.TopicID{1}}
			empty := ""
			for i := range partitions {
				p := kmsg.NewOffsetCommitRequestTopicPartition()
				p.Partition, p.Metadata = int32(i), &empty
				t.Partitions = append(t.Partitions, p)
			}
			req.Topics = append(req.Topics, t)
			b.ReportAllocs()
			for b.Loop() {
				fx.state.OffsetCommit(fx, Caller{}, req, func(*kmsg.OffsetCommitResponse) {})
			}
		})
	}
}

// BenchmarkLoadOffsets replays a million offsets, whose commits lie mixed in the log.
func BenchmarkLoadOffsets(b *testing.B) {
	for _, shape := range []struct{ groups, topics, partitions int }{{1000, 10, 100}, {100_000, 1, 10}, {1, 1, 1_000_000}} {
		b.Run(fmt.Sprintf("groups=%d/topics=%d/partitions=%d", shape.groups, shape.topics, shape.partitions), func(b *testing.B) {
			keys := make([][]byte, 0, shape.groups*shape.topics*shape.partitions)
			for p := range shape.partitions {
				for t := range shape.topics {
					for g := range shape.groups {
						group, topic := fmt.Sprintf("a-service-of-our-company-%d", g), fmt.Sprintf("a-topic-with-a-usual-name-%d", t)
						keys = append(keys, schema.AppendOffsetCommitKey(nil, group, topic, int32(p*37%shape.partitions)))
					}
				}
			}
			v := schema.OffsetCommitValue{Offset: 1 << 40, LeaderEpoch: 3, CommitTimestampMillis: 1_700_000_000_000, ExpireTimestampMillis: -1, TopicID: protocol.TopicID{1}}
			load(b, keys, v.Append(nil))
		})
	}
}

func load(b *testing.B, keys [][]byte, value []byte) {
	b.Helper()
	var before, after runtime.MemStats
	b.ReportAllocs()
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := newTestState(benchSettings())
		for i, key := range keys {
			r := coordlog.NewRecord(key, value)
			r.Offset = int64(i)
			if err := s.Replay(r); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(s)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(keys)), "B/offset")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(keys)), "ns/offset")
}

// BenchmarkOffsetFetch fetches a hundred partitions.
func BenchmarkOffsetFetch(b *testing.B) {
	fx := &benchEffects{state: newTestState(benchSettings())}
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = "g"
	t := kmsg.OffsetFetchRequestGroupTopic{Topic: "orders"}
	v := schema.OffsetCommitValue{ExpireTimestampMillis: -1}
	for p := range int32(100) {
		if err := fx.Append(coordlog.NewRecord(schema.AppendOffsetCommitKey(nil, "g", "orders", p), v.Append(nil))); err != nil {
			b.Fatal(err)
		}
		t.Partitions = append(t.Partitions, p)
	}
	g.Topics = append(g.Topics, t)
	b.ReportAllocs()
	for b.Loop() {
		fx.state.OffsetFetch(fx, &g, true, func(kmsg.OffsetFetchResponseGroup) {})
	}
}
