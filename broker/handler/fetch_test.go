package handler_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// fetched is one partition of a Fetch.
type fetched struct {
	topic     string
	id        [16]byte
	partition int32
	offset    int64
}

func fetch(version int16, parts ...fetched) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = version, 500, 1, 1<<20, -1
	for _, p := range parts {
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = p.partition, p.offset, 1000, -1
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = p.topic, p.id
		t.Partitions = append(t.Partitions, rp)
		req.Topics = append(req.Topics, t)
	}
	return req
}

// readable is a result with records.
func readable(b string, closed *atomic.Int32) replica.ReadResult {
	res := replica.ReadResult{HighWatermark: 20, LastStableOffset: 19, LogStartOffset: 3, Preferred: -1, Diverging: replica.EpochEnd{Epoch: -1, EndOffset: -1}}
	res.CurrentLeader = replica.Leader{ID: -1, Epoch: -1}
	if b != "" {
		res.Records = &region{[]byte(b), closed}
	}
	return res
}

func unreadable(err error) replica.ReadResult {
	return replica.ReadResult{
		Err: err, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, Preferred: -1,
		Diverging: replica.EpochEnd{Epoch: -1, EndOffset: -1}, CurrentLeader: replica.Leader{ID: -1, Epoch: -1},
	}
}

func TestFetch_Reads(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			s := newStack(t)
			var closed atomic.Int32
			var asked []replica.ReadPartition
			var opts replica.ReadOptions
			s.replicas.read = func(o replica.ReadOptions, p replica.ReadPartition) replica.ReadResult {
				opts, asked = o, append(asked, p)
				res := readable("records", &closed)
				if p.Topic == "others" {
					res = readable("", &closed)
				} else {
					res.Aborted = []replica.AbortedTxn{{ProducerID: 7, FirstOffset: 11}}
				}
				return res
			}
			parts := []fetched{{topic: "orders", partition: 1, offset: 9}, {topic: "nope"}, {topic: "others", offset: 5}, {topic: "orders", partition: 3}}
			unknown := kerr.UnknownTopicOrPartition.Code
			if version >= 13 {
				unknown = kerr.UnknownTopicID.Code
				for i, id := range []protocol.TopicID{ordersID, unknownID, othersID, ordersID} {
					parts[i].topic, parts[i].id = "", id
				}
			}
			req := fetch(version, parts...)
			req.IsolationLevel = 1
			req.Topics[0].Partitions[0].CurrentLeaderEpoch, req.Topics[0].Partitions[0].LastFetchedEpoch = 4, 3
			resp := s.ask(req).(*kmsg.FetchResponse)

			wantOpts := replica.ReadOptions{
				ReplicaID: -1, BrokerEpoch: -1, AnyReplica: version >= 11, Listener: "PLAINTEXT",
				Isolation: replica.ReadCommitted, MinBytes: 1, MaxBytes: 1 << 20,
			}
			if opts != wantOpts {
				t.Errorf("options %+v, want %+v", opts, wantOpts)
			}
			wantAsked := replica.ReadPartition{
				TopicIDPartition: protocol.TopicIDPartition{Topic: "orders", Partition: 1}, FetchOffset: 9, MaxBytes: 1000, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1,
				LogStartOffset: -1,
			}
			if version >= 9 {
				wantAsked.CurrentLeaderEpoch = 4
			}
			if version >= 12 {
				wantAsked.LastFetchedEpoch = 3
			}
			if version >= 13 {
				wantAsked.ID = ordersID
			}
			if len(asked) != 2 || asked[0] != wantAsked {
				t.Errorf("asked %+v, want %+v first", asked, wantAsked)
			}
			if len(resp.Topics) != 4 || resp.SessionID != 0 || resp.ErrorCode != 0 {
				t.Fatalf("%+v", resp)
			}
			want := kmsg.NewFetchResponseTopicPartition()
			want.Partition, want.HighWatermark, want.LastStableOffset, want.RecordBatches = 1, 20, 19, []byte("records")
			want.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 7, FirstOffset: 11}}
			want.PreferredReadReplica = -1
			if version >= 5 {
				want.LogStartOffset = 3
			}
			if diff := cmp.Diff(want, resp.Topics[0].Partitions[0], likeKmsg); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if p := resp.Topics[2].Partitions[0]; p.ErrorCode != unknown || p.HighWatermark != -1 || p.AbortedTransactions == nil || len(p.RecordBatches) > 0 {
				t.Errorf("unknown topic: %+v", p)
			}
			if p := resp.Topics[1].Partitions[0]; p.ErrorCode != 0 || p.HighWatermark != 20 || len(p.RecordBatches) > 0 || p.AbortedTransactions != nil {
				t.Errorf("nothing new: %+v", p)
			}
			if p := resp.Topics[3].Partitions[0]; p.ErrorCode != kerr.UnknownTopicOrPartition.Code || p.Partition != 3 {
				t.Errorf("unknown partition: %+v", p)
			}
			s.server.Close() // the connection lets go of records after it has sent them
			if n := closed.Load(); n != 1 {
				t.Errorf("records were closed %d times", n)
			}
			if got := s.topics.Topic("orders").BytesOut.Load(); got != 7 {
				t.Errorf("metrics: %d bytes", got)
			}
		})
	}
}

// TestFetch_Options pins limits and isolation.
func TestFetch_Options(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*kmsg.FetchRequest)
		want replica.ReadOptions
	}{
		{
			"limits of the broker", func(r *kmsg.FetchRequest) { r.MaxBytes, r.MinBytes = 1<<30, 1<<30 },
			replica.ReadOptions{ReplicaID: -1, BrokerEpoch: -1, AnyReplica: true, Isolation: replica.ReadUncommitted, MinBytes: 55 << 20, MaxBytes: 55 << 20},
		},
		{
			"min bytes above max bytes", func(r *kmsg.FetchRequest) { r.MaxBytes, r.MinBytes = 100, 200 },
			replica.ReadOptions{ReplicaID: -1, BrokerEpoch: -1, AnyReplica: true, Isolation: replica.ReadUncommitted, MinBytes: 100, MaxBytes: 100},
		},
		{
			"negative min bytes", func(r *kmsg.FetchRequest) { r.MinBytes = -5 },
			replica.ReadOptions{ReplicaID: -1, BrokerEpoch: -1, AnyReplica: true, Isolation: replica.ReadUncommitted, MinBytes: -5, MaxBytes: 1 << 20},
		},
		{
			"follower", func(r *kmsg.FetchRequest) { r.ReplicaState.ID, r.ReplicaState.Epoch, r.IsolationLevel = 2, 7, 1 },
			replica.ReadOptions{ReplicaID: 2, BrokerEpoch: 7, Isolation: replica.ReadLogEnd, MinBytes: 1, MaxBytes: 1 << 20},
		},
		{
			"follower v14", func(r *kmsg.FetchRequest) { r.ReplicaID, r.Version = 2, 14 },
			replica.ReadOptions{ReplicaID: 2, BrokerEpoch: -1, Isolation: replica.ReadLogEnd, MinBytes: 1, MaxBytes: 1 << 20},
		},
		{
			"debugging consumer", func(r *kmsg.FetchRequest) { r.ReplicaID, r.Version = -2, 14 },
			replica.ReadOptions{ReplicaID: -2, BrokerEpoch: -1, AnyReplica: true, Isolation: replica.ReadUncommitted, MinBytes: 1, MaxBytes: 1 << 20},
		},
		{
			"future replica", func(r *kmsg.FetchRequest) { r.ReplicaID, r.Version = -3, 14 },
			replica.ReadOptions{ReplicaID: -3, BrokerEpoch: -1, AnyReplica: true, Isolation: replica.ReadLogEnd, MinBytes: 1, MaxBytes: 1 << 20},
		},
		{
			"consumer with a rack", func(r *kmsg.FetchRequest) { r.Rack, r.Version = "a", 11 },
			replica.ReadOptions{ReplicaID: -1, BrokerEpoch: -1, AnyReplica: true, Rack: "a", MinBytes: 1, MaxBytes: 1 << 20},
		},
		{
			"consumer v10", func(r *kmsg.FetchRequest) { r.Rack, r.Version = "a", 10 },
			replica.ReadOptions{ReplicaID: -1, BrokerEpoch: -1, MinBytes: 1, MaxBytes: 1 << 20},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStack(t)
			tc.want.Listener = "PLAINTEXT"
			s.replicas.read = func(o replica.ReadOptions, _ replica.ReadPartition) replica.ReadResult {
				if o != tc.want {
					t.Errorf("got %+v, want %+v", o, tc.want)
				}
				return readable("", nil)
			}
			req := fetch(15, fetched{id: ordersID})
			tc.edit(req)
			s.ask(req)
		})
	}
}

// TestFetch_Errors pins what an error of a partition looks like in each version.
func TestFetch_Errors(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		s := newStack(t)
		s.replicas.read = func(_ replica.ReadOptions, p replica.ReadPartition) replica.ReadResult {
			switch p.Partition {
			case 0:
				res := unreadable(kerr.NotLeaderForPartition)
				res.CurrentLeader = replica.Leader{ID: 2, Epoch: 8}
				return res
			case 1:
				return unreadable(errcode.New(errcode.KindKafkaStorageError, "disk"))
			default:
				res := readable("", nil)
				res.Diverging = replica.EpochEnd{Epoch: 4, EndOffset: 17}
				return res
			}
		}
		f := fetched{topic: "orders"}
		if version >= 13 {
			f = fetched{id: ordersID}
		}
		req := fetch(version, f)
		for i := range int32(2) {
			p := req.Topics[0].Partitions[0]
			p.Partition = i + 1
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
		}
		resp := s.ask(req).(*kmsg.FetchResponse)
		got := resp.Topics[0].Partitions
		leader, nodes := kmsg.NewFetchResponseTopicPartitionCurrentLeader(), 0
		if version >= 16 {
			leader.LeaderID, leader.LeaderEpoch, nodes = 2, 8, 1
		}
		if got[0].ErrorCode != kerr.NotLeaderForPartition.Code || !cmp.Equal(got[0].CurrentLeader, leader, likeKmsg) || len(resp.Brokers) != nodes {
			t.Errorf("v%d: %+v, %+v", version, got[0], resp.Brokers)
		}
		storage := kerr.KafkaStorageError.Code
		if version < 6 {
			storage = kerr.NotLeaderForPartition.Code
		}
		if got[1].ErrorCode != storage || got[1].HighWatermark != -1 {
			t.Errorf("v%d: %+v", version, got[1])
		}
		diverging := kmsg.NewFetchResponseTopicPartitionDivergingEpoch()
		if version >= 12 {
			diverging.Epoch, diverging.EndOffset = 4, 17
		}
		if got[2].ErrorCode != 0 || !cmp.Equal(got[2].DivergingEpoch, diverging, likeKmsg) {
			t.Errorf("v%d: %+v", version, got[2])
		}
	}
}

// TestFetch_BadRequests: what Kafka answers with UNKNOWN_SERVER_ERROR.
func TestFetch_BadRequests(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		f := fetched{topic: "orders"}
		if version >= 13 {
			f = fetched{id: ordersID}
		}
		for name, edit := range map[string]func(*kmsg.FetchRequest){
			"isolation":           func(r *kmsg.FetchRequest) { r.IsolationLevel = 2 },
			"max bytes":           func(r *kmsg.FetchRequest) { r.MaxBytes = -1 },
			"partition max bytes": func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].PartitionMaxBytes = -1 },
		} {
			s := newStack(t)
			s.replicas.read = func(replica.ReadOptions, replica.ReadPartition) replica.ReadResult {
				t.Errorf("v%d %s: the first partition was read", version, name)
				return readable("", nil)
			}
			req := fetch(version, f)
			req.SessionID = 0
			edit(req)
			resp := s.ask(req).(*kmsg.FetchResponse)
			whole := name == "isolation"
			if got, want := resp.ErrorCode == -1, whole && version >= 7; got != want {
				t.Errorf("v%d %s: %+v", version, name, resp)
			}
			if whole && version >= 13 {
				if len(resp.Topics) > 0 {
					t.Errorf("v%d %s: %+v", version, name, resp)
				}
				continue
			}
			if p := resp.Topics[0].Partitions[0]; p.ErrorCode != -1 || p.HighWatermark != -1 || (p.AbortedTransactions != nil) != whole {
				t.Errorf("v%d %s: %+v", version, name, p)
			}
		}
	}
}

// waits hands out what AwaitRead was given.
type waits chan awaited

type awaited struct {
	parts    []replica.ReadPartition
	deadline time.Time
	done     func()
}

func (w waits) await(_ replica.ReadOptions, parts []replica.ReadPartition, deadline time.Time, done func()) replica.Wait {
	w <- awaited{parts, deadline, done}
	return cancelled(done)
}

// cancelled is a Wait that is done when it is cancelled.
type cancelled func()

func (c cancelled) Cancel() { c() }

// TestFetch_Waits: Case C. What was read first is let go, and read again when the wait is over.
func TestFetch_Waits(t *testing.T) {
	s := newStack(t)
	var closed, reads atomic.Int32
	s.replicas.read = func(replica.ReadOptions, replica.ReadPartition) replica.ReadResult {
		return readable(fmt.Sprintf("read %d", reads.Add(1)), &closed)
	}
	s.replicas.enough = func(replica.ReadOptions, []replica.ReadResult) bool { return false }
	w := make(waits, 1)
	s.replicas.await = w.await
	c := s.dial("test")
	req := fetch(11, fetched{topic: "orders"}, fetched{topic: "nope"}) // an unknown partition does not end the wait
	before := time.Now()
	c.send(req)
	a := <-w
	if closed.Load() != 1 || len(a.parts) != 1 || a.deadline.Before(before.Add(500*time.Millisecond)) || a.deadline.After(time.Now().Add(500*time.Millisecond)) {
		t.Errorf("closed %d, waits for %+v until %v", closed.Load(), a.parts, a.deadline)
	}
	a.done()
	resp := c.receive(req, 1).(*kmsg.FetchResponse)
	s.server.Close()
	if got := string(resp.Topics[0].Partitions[0].RecordBatches); got != "read 2" || closed.Load() != 2 {
		t.Errorf("answered %q, closed %d", got, closed.Load())
	}
}

// TestFetch_DoesNotWait: Cases A and B.
func TestFetch_DoesNotWait(t *testing.T) {
	for name, edit := range map[string]func(*stack, *kmsg.FetchRequest){
		"no wait wanted":     func(_ *stack, r *kmsg.FetchRequest) { r.MaxWaitMillis = 0 },
		"nothing to wait on": func(_ *stack, r *kmsg.FetchRequest) { r.Topics[0].Topic = "nope" },
		"no partitions":      func(_ *stack, r *kmsg.FetchRequest) { r.Topics = nil },
		"enough": func(s *stack, _ *kmsg.FetchRequest) {
			s.replicas.enough = func(replica.ReadOptions, []replica.ReadResult) bool { return true }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			s.replicas.read = func(replica.ReadOptions, replica.ReadPartition) replica.ReadResult { return readable("", nil) }
			s.replicas.enough = func(replica.ReadOptions, []replica.ReadResult) bool { return false }
			req := fetch(11, fetched{topic: "orders"})
			edit(s, req)
			s.ask(req)
		})
	}
}

// TestFetch_AbandonedWaitIsCancelled: the connection goes while its fetch waits.
func TestFetch_AbandonedWaitIsCancelled(t *testing.T) {
	s := newStack(t)
	s.replicas.read = func(replica.ReadOptions, replica.ReadPartition) replica.ReadResult { return readable("", nil) }
	s.replicas.enough = func(replica.ReadOptions, []replica.ReadResult) bool { return false }
	ended := make(chan struct{})
	started := make(chan struct{})
	s.replicas.await = func(_ replica.ReadOptions, _ []replica.ReadPartition, _ time.Time, done func()) replica.Wait {
		close(started)
		return cancelled(func() { close(ended); done() })
	}
	c := s.dial("test")
	c.send(fetch(11, fetched{topic: "orders"}))
	<-started
	c.nc.Close()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("the wait was not cancelled")
	}
}

// TestFetch_Session walks a session: full, nothing new, news, forgotten, wrong epochs.
// A preferred replica ends the wait, and is news in a session.
func TestFetch_PreferredReadReplica(t *testing.T) {
	s := newStack(t)
	s.replicas.read = func(o replica.ReadOptions, _ replica.ReadPartition) replica.ReadResult {
		res := readable("", nil)
		if o.Rack == "a" {
			res.Preferred = 3
		}
		return res
	}
	c := s.dial("test")
	req := fetch(15, fetched{id: ordersID})
	req.SessionEpoch, req.Rack, req.MaxWaitMillis = 0, "b", 0
	resp := c.do(req).(*kmsg.FetchResponse)
	if got := resp.Topics[0].Partitions[0].PreferredReadReplica; got != -1 {
		t.Errorf("another rack: got %d, want -1", got)
	}
	again := fetch(15)
	again.SessionID, again.SessionEpoch, again.Rack, again.MaxWaitMillis = resp.SessionID, 1, "a", 0
	resp = c.do(again).(*kmsg.FetchResponse)
	if len(resp.Topics) != 1 || resp.Topics[0].Partitions[0].PreferredReadReplica != 3 || len(resp.Topics[0].Partitions[0].RecordBatches) != 0 {
		t.Errorf("got %+v, want replica 3 to be preferred", resp)
	}
}

func TestFetch_Session(t *testing.T) {
	for _, version := range []int16{7, 12, 13, 18} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			s := newStack(t)
			hw := map[int32]int64{}
			s.replicas.read = func(_ replica.ReadOptions, p replica.ReadPartition) replica.ReadResult {
				res := readable("", nil)
				res.HighWatermark = hw[p.Partition]
				return res
			}
			c := s.dial("test")
			f := fetched{topic: "orders"}
			gone := fetched{topic: "nope"}
			if version >= 13 {
				f, gone = fetched{id: ordersID}, fetched{id: unknownID}
			}
			f1 := f
			f1.partition = 1
			full := fetch(version, f, f1, gone)
			full.SessionEpoch = 0
			resp := c.do(full).(*kmsg.FetchResponse)
			if resp.SessionID == 0 || len(resp.Topics) != 2 || len(resp.Topics[0].Partitions) != 2 {
				t.Fatalf("full: %+v", resp)
			}
			id := resp.SessionID
			next := func(epoch int32, parts ...fetched) *kmsg.FetchRequest {
				r := fetch(version, parts...)
				r.SessionID, r.SessionEpoch = id, epoch
				return r
			}
			resp = c.do(next(1)).(*kmsg.FetchResponse)
			if resp.SessionID != id || len(resp.Topics) != 1 || resp.Topics[0].Partitions[0].ErrorCode == 0 {
				t.Fatalf("nothing new but the error: %+v", resp)
			}
			hw[1] = 5
			forget := next(2)
			forget.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: gone.topic, TopicID: gone.id, Partitions: []int32{0}}}
			resp = c.do(forget).(*kmsg.FetchResponse)
			if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || resp.Topics[0].Partitions[0].Partition != 1 || resp.Topics[0].Partitions[0].HighWatermark != 5 {
				t.Fatalf("a new high watermark: %+v", resp)
			}
			resp = c.do(next(9)).(*kmsg.FetchResponse)
			if resp.ErrorCode != kerr.InvalidFetchSessionEpoch.Code || len(resp.Topics) != 0 {
				t.Errorf("wrong epoch: %+v", resp)
			}
			last := next(-1)
			last.Topics = nil
			c.do(last)
			resp = c.do(next(3)).(*kmsg.FetchResponse)
			if resp.ErrorCode != kerr.FetchSessionIDNotFound.Code {
				t.Errorf("closed session: %+v", resp)
			}
		})
	}
}

// TestFetch_SessionChangesVersion: a session by names goes on with ids.
func TestFetch_SessionChangesVersion(t *testing.T) {
	s := newStack(t)
	s.replicas.read = func(replica.ReadOptions, replica.ReadPartition) replica.ReadResult { return readable("", nil) }
	c := s.dial("test")
	full := fetch(12, fetched{topic: "orders"})
	full.SessionEpoch = 0
	id := c.do(full).(*kmsg.FetchResponse).SessionID
	req := fetch(13)
	req.SessionID, req.SessionEpoch = id, 1
	if resp := c.do(req).(*kmsg.FetchResponse); resp.ErrorCode != kerr.FetchSessionTopicIDError.Code {
		t.Errorf("%+v", resp)
	}
}
