package handler

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
)

// heapRegion is a listener.Region in memory.
type heapRegion struct {
	b      []byte
	closed *int
}

func (r heapRegion) Size() int     { return len(r.b) }
func (r heapRegion) Bytes() []byte { return r.b }

func (r heapRegion) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(r.b).ReadAt(p, off)
}

func (r heapRegion) Close() error {
	*r.closed++
	return nil
}

// randomFetch draws a response of any shape.
func randomFetch(rnd *rand.Rand, closed *int) *fetchResponse {
	topics := []string{"a", "topic", strings.Repeat("long-", 40), "a"}
	num := func() int64 { return rnd.Int64N(1<<20) - 1 }
	f := &fetchResponse{ThrottleMillis: rnd.Int32(), ErrorCode: int16(num()), SessionID: rnd.Int32()}
	for range rnd.IntN(12) {
		at := rnd.IntN(len(topics))
		p := newFetchedPartition(topics[at], protocol.TopicID{byte(len(topics[at]))}, rnd.Int32N(9))
		p.ErrorCode, p.Omit = int16(num()), rnd.IntN(4) == 0
		p.HighWatermark, p.LastStableOffset, p.LogStartOffset = num(), num(), num()
		if rnd.IntN(2) == 0 {
			p.Aborted = make([]abortedTransaction, rnd.IntN(3))
			for i := range p.Aborted {
				p.Aborted[i] = abortedTransaction{num(), num()}
			}
		}
		if rnd.IntN(3) == 0 {
			p.PreferredReadReplica = int32(num())
		}
		if rnd.IntN(3) == 0 {
			p.Diverging = epochEnd{int32(num()), num()}
		}
		if rnd.IntN(3) == 0 {
			p.CurrentLeader = leaderNow{int32(num()), int32(num())}
		}
		if rnd.IntN(3) > 0 {
			p.Records = heapRegion{bytes.Repeat([]byte{byte(num())}, rnd.IntN(300)), closed}
		}
		f.Partitions = append(f.Partitions, p)
	}
	for range rnd.IntN(3) {
		n := nodeEndpoint{ID: rnd.Int32(), Host: strings.Repeat("h", rnd.IntN(200)), Port: rnd.Int32()}
		if rnd.IntN(2) == 0 {
			n.Rack = new(strings.Repeat("r", rnd.IntN(200)))
		}
		f.Nodes = append(f.Nodes, n)
	}
	return f
}

// kmsgFetch is the same response in kmsg's types.
func kmsgFetch(f *fetchResponse, version int16) *kmsg.FetchResponse {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = version
	resp.ThrottleMillis, resp.ErrorCode, resp.SessionID = f.ThrottleMillis, f.ErrorCode, f.SessionID
	for i := range f.Partitions {
		p := &f.Partitions[i]
		if p.Omit {
			continue
		}
		n := len(resp.Topics)
		if n == 0 || resp.Topics[n-1].Topic != p.Topic {
			resp.Topics = append(resp.Topics, kmsg.FetchResponseTopic{Topic: p.Topic, TopicID: p.TopicID})
			n++
		}
		k := kmsg.NewFetchResponseTopicPartition()
		k.Partition, k.ErrorCode, k.HighWatermark, k.LastStableOffset = p.Partition, p.ErrorCode, p.HighWatermark, p.LastStableOffset
		k.LogStartOffset, k.PreferredReadReplica = p.LogStartOffset, p.PreferredReadReplica
		k.DivergingEpoch.Epoch, k.DivergingEpoch.EndOffset = p.Diverging.Epoch, p.Diverging.EndOffset
		k.CurrentLeader.LeaderID, k.CurrentLeader.LeaderEpoch = p.CurrentLeader.ID, p.CurrentLeader.Epoch
		k.RecordBatches = []byte{}
		if p.Records != nil {
			k.RecordBatches = append(k.RecordBatches, p.Records.Bytes()...)
		}
		if p.Aborted != nil {
			k.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
		}
		for _, a := range p.Aborted {
			k.AbortedTransactions = append(k.AbortedTransactions, kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.FirstOffset})
		}
		resp.Topics[n-1].Partitions = append(resp.Topics[n-1].Partitions, k)
	}
	if version >= 16 {
		for _, n := range f.Nodes {
			resp.Brokers = append(resp.Brokers, kmsg.FetchResponseBroker{NodeID: n.ID, Host: n.Host, Port: n.Port, Rack: n.Rack})
		}
	}
	return resp
}

func checkFetch(t *testing.T, seed uint64) {
	t.Helper()
	for version := int16(4); version <= 18; version++ {
		closed, regions := 0, 0
		f := randomFetch(rand.New(rand.NewPCG(seed, 0)), &closed)
		want := kmsgFetch(f, version).AppendTo(nil)
		for i := range f.Partitions {
			if f.Partitions[i].Records != nil {
				regions++
			}
		}
		e := f.encode(version)
		got, err := e.AppendTo(nil)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("seed %d, version %d, %v: got\n%x, want\n%x", seed, version, err, got, want)
		}
		if e.Size() != len(want) {
			t.Fatalf("seed %d, version %d: got size %d, want %d", seed, version, e.Size(), len(want))
		}
		if e.Discard(); closed != regions {
			t.Fatalf("seed %d, version %d: got %d regions closed, want %d", seed, version, closed, regions)
		}
	}
}

func TestFetchResponse_EqualsKmsg(t *testing.T) {
	for seed := range uint64(2000) {
		checkFetch(t, seed)
	}
}

func FuzzFetchResponse(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(seed)
	}
	f.Fuzz(checkFetch)
}

func BenchmarkFetchResponse(b *testing.B) {
	for _, shape := range []struct{ partitions, records int }{{1, 1 << 20}, {50, 16 << 10}, {50, 0}, {1000, 0}} {
		closed := 0
		f := &fetchResponse{}
		for i := range shape.partitions {
			p := newFetchedPartition("topic", protocol.TopicID{1}, int32(i))
			if shape.records > 0 {
				p.Records = heapRegion{make([]byte, shape.records), &closed}
			}
			f.Partitions = append(f.Partitions, p)
		}
		name := fmt.Sprintf("partitions=%d/records=%d", shape.partitions, shape.records)
		b.Run(name+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.encode(18)
			}
		})
		k := kmsgFetch(f, 18)
		b.Run(name+"/kmsg", func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst = k.AppendTo(dst[:0])
			}
		})
	}
}
