package handler

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// randomProduce makes a call with random results, and the response that kmsg would encode.
func randomProduce(r *rand.Rand, version int16) (*produceCall, *kmsg.ProduceResponse) {
	rack := "rack"
	img := &image.Image{Brokers: map[protocol.NodeID]*image.Broker{}}
	for id := range protocol.NodeID(3) {
		b := &image.Broker{ID: id, Endpoints: []image.Endpoint{{Name: "L", Host: fmt.Sprintf("host-%d", id), Port: 9092}}}
		if id == 1 {
			b.Rack = &rack
		}
		img.Brokers[id] = b
	}
	c := &produceCall{d: new(dataHandler), req: kmsg.NewPtrProduceRequest(), hints: leaderHints{img: img, listenerName: "L"}}
	c.req.Version = version
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = version
	told := map[int32]bool{}
	for i := range r.IntN(4) {
		rt, wt := kmsg.NewProduceRequestTopic(), kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = fmt.Sprintf("topic-%d", i), [16]byte{byte(i + 1)}
		wt.Topic, wt.TopicID = rt.Topic, rt.TopicID
		for j := range r.IntN(5) {
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Partition = int32(j)
			rt.Partitions = append(rt.Partitions, rp)
			out, want, leader := c.randomOutcome(r, version)
			c.outcomes = append(c.outcomes, out)
			if out.dropped {
				continue
			}
			want.Partition = int32(j)
			wt.Partitions = append(wt.Partitions, want)
			if b := img.Brokers[protocol.NodeID(leader)]; b != nil && !told[leader] {
				told[leader] = true
				resp.Brokers = append(resp.Brokers, kmsg.ProduceResponseBroker{NodeID: leader, Host: b.Endpoints[0].Host, Port: 9092, Rack: b.Rack})
			}
		}
		c.req.Topics = append(c.req.Topics, rt)
		if len(wt.Partitions) > 0 {
			resp.Topics = append(resp.Topics, wt)
		}
	}
	return c, resp
}

// randomOutcome adds one partition's outcome; leader is the one its answer names, or -1.
func (c *produceCall) randomOutcome(r *rand.Rand, version int16) (out produceOutcome, want kmsg.ProduceResponseTopicPartition, leader int32) {
	want = kmsg.NewProduceResponseTopicPartition()
	want.BaseOffset, want.LogAppendTime, want.LogStartOffset, leader = -1, -1, -1, -1
	out.part = -1
	if r.IntN(6) == 0 {
		out.dropped = true
		return out, want, leader
	}
	if r.IntN(4) == 0 {
		out.code = int16(errcode.KindInvalidRecord)
		want.ErrorCode = out.code
		return out, want, leader
	}
	res := replica.AppendResult{BaseOffset: -1, LogAppendTime: -1, LogStartOffset: r.Int64N(100), CurrentLeader: replica.Leader{ID: -1, Epoch: -1}}
	want.LogStartOffset = res.LogStartOffset
	switch r.IntN(4) {
	case 0:
		res.BaseOffset, res.LogAppendTime = r.Int64(), r.Int64()
		want.BaseOffset, want.LogAppendTime = res.BaseOffset, res.LogAppendTime
	case 1:
		bad := &records.RecordErrors{Kind: errcode.KindInvalidTimestamp, Msg: "bad times"}
		for i := range r.IntN(200) {
			bad.Records = append(bad.Records, records.RecordError{Index: int32(i), Msg: fmt.Sprintf("record %d", i)})
			want.ErrorRecords = append(want.ErrorRecords, kmsg.ProduceResponseTopicPartitionErrorRecord{
				RelativeOffset: int32(i), ErrorMessage: new(fmt.Sprintf("record %d", i)),
			})
		}
		res.Err, res.RecordErrors = bad, bad
		want.ErrorCode, want.ErrorMessage = int16(bad.Kind), &bad.Msg
	case 2:
		leader = int32(r.IntN(5)) - 1
		res.Err = errcode.New(errcode.KindNotLeaderForPartition, "moved")
		res.CurrentLeader = replica.Leader{ID: protocol.NodeID(leader), Epoch: 9}
		want.ErrorCode = int16(errcode.KindNotLeaderForPartition)
		if version >= 10 {
			want.CurrentLeader.LeaderID, want.CurrentLeader.LeaderEpoch = leader, 9
		} else {
			leader = -1
		}
	default:
		res.Err = errcode.New(errcode.KindRequestTimedOut, "late")
		want.ErrorCode = int16(errcode.KindRequestTimedOut)
	}
	out.part = int32(len(c.parts))
	c.parts = append(c.parts, replica.Append{Result: res})
	return out, want, leader
}

// TestProduceEncode_EqualsKmsg compares random responses of every version byte for byte.
func TestProduceEncode_EqualsKmsg(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		for version := int16(3); version <= 13; version++ {
			c, resp := randomProduce(r, version)
			got, err := c.encode().AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := resp.AppendTo(nil); !bytes.Equal(got, want) {
				t.Fatalf("v%d:\n got %x\nwant %x", version, got, want)
			}
		}
	}
}

// TestDispatcher_ServesExactlyTheTable holds the handlers against the one table of APIs.
func TestDispatcher_ServesExactlyTheTable(t *testing.T) {
	h := &Handler{}
	h.data = &dataHandler{h: h}
	table := h.table()
	for _, api := range protocol.APIs() {
		if table[api.Key] == nil {
			t.Errorf("%s (%d) has no handler", api.Name, api.Key)
		}
		delete(table, api.Key)
	}
	for key := range table {
		t.Errorf("key %d has a handler but is not in the table", key)
	}
}
