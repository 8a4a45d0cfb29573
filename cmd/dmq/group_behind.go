package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Bounds of reading first records. A broker sends whole batches, so the first partition of a request may exceed them.
const (
	unreadPartitionBytes = 64 << 10
	unreadBytes          = 4 << 20
	unreadRounds         = 8 // requests to one broker for one sample
)

// unreadTimes knows when the first record was written that a group has not consumed. It reads that record; what it has
// read stays known until the group moves on.
type unreadTimes struct {
	known map[topicPartition]unread
}

type unread struct {
	offset int64 // the record was the first from here on
	at     time.Time
}

func newUnreadTimes() *unreadTimes { return &unreadTimes{known: make(map[topicPartition]unread)} }

// from is where the first record lies that is not consumed: what was committed, or the start of the log when that is
// beyond it. ok is false when there is no such record, or it is not known.
func (p partitionLag) from() (offset int64, ok bool) {
	if p.Lag == nil || *p.Lag == 0 {
		return 0, false
	}
	offset = *p.Committed
	if p.Start != nil {
		offset = max(offset, *p.Start)
	}
	return offset, offset < *p.End
}

// behind is how long ago the first record was written that is not consumed, in seconds; nil when it is not known.
func (u *unreadTimes) behind(p partitionLag, now time.Time) *float64 {
	if p.Lag == nil {
		return nil
	}
	seconds := 0.0
	if from, ok := p.from(); ok {
		k, ok := u.known[p.topicPartition()]
		if !ok || k.offset != from || k.at.UnixMilli() < 0 {
			return nil
		}
		seconds = max(0, now.Sub(k.at).Round(time.Millisecond).Seconds()) // a producer's clock may be ahead
	}
	return &seconds
}

// find reads the first records that are not known yet, as far as the bounds allow. What could not be read stays unknown.
func (u *unreadTimes) find(ctx context.Context, cl *kgo.Client, adm *kadm.Client, lag []partitionLag) {
	next := make(map[topicPartition]unread, len(lag))
	wanted := make(map[topicPartition]int64)
	topics := make(kadm.TopicsSet)
	for _, p := range lag {
		from, ok := p.from()
		if !ok {
			continue
		}
		if k, ok := u.known[p.topicPartition()]; ok && k.offset == from {
			next[p.topicPartition()] = k
			continue
		}
		wanted[p.topicPartition()] = from
		topics.Add(p.Topic)
	}
	u.known = next
	if len(wanted) == 0 {
		return
	}
	meta, err := adm.Metadata(ctx, topics.Topics()...)
	if err != nil {
		return
	}
	byLeader := make(map[int32]map[topicPartition]int64)
	for tp, from := range wanted {
		leader := meta.Topics[tp.topic].Partitions[tp.partition].Leader
		if byLeader[leader] == nil {
			byLeader[leader] = make(map[topicPartition]int64)
		}
		byLeader[leader][tp] = from
	}
	for leader, wanted := range byLeader {
		for range unreadRounds {
			if len(wanted) == 0 || !u.fetch(ctx, cl.Broker(int(leader)), meta.Topics, wanted) {
				break
			}
		}
	}
}

// fetch asks one broker, and takes what it answered for out of wanted. It reports whether that was anything.
func (u *unreadTimes) fetch(ctx context.Context, broker *kgo.Broker, topics kadm.TopicDetails, wanted map[topicPartition]int64) bool {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.SessionEpoch = unreadBytes, -1
	at := make(map[string]int)
	names := make(map[[16]byte]string)
	for tp, from := range wanted {
		i, ok := at[tp.topic]
		if !ok {
			i = len(req.Topics)
			at[tp.topic] = i
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = tp.topic, topics[tp.topic].ID
			names[t.TopicID] = tp.topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = tp.partition, from, unreadPartitionBytes
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	kresp, err := broker.RetriableRequest(ctx, req)
	if err != nil {
		return false
	}
	answered := false
	resp := kresp.(*kmsg.FetchResponse)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		topic := t.Topic
		if topic == "" {
			topic = names[t.TopicID]
		}
		for j := range t.Partitions {
			tp := topicPartition{topic, t.Partitions[j].Partition}
			from, ok := wanted[tp]
			if !ok {
				continue
			}
			o := kgo.ProcessFetchPartitionOpts{KeepControlRecords: true, Offset: from, Topic: topic, Partition: tp.partition}
			read, _ := kgo.ProcessFetchPartition(o, &t.Partitions[j], kgo.DefaultDecompressor(), nil)
			if len(read.Records) > 0 {
				u.known[tp] = unread{offset: from, at: read.Records[0].Timestamp}
				delete(wanted, tp)
				answered = true
			} else if read.Err != nil {
				delete(wanted, tp)
			}
		}
	}
	return answered
}
