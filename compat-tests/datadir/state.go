package datadir

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// State is what clients can see of a broker's topics.
type State struct {
	ClusterID string
	Topics    map[string]*Topic
}

// Topic is one topic; its configs are those that were set on it.
type Topic struct {
	ID         [16]byte
	Configs    map[string]string
	Partitions map[int32]*Partition
}

// Partition is one partition with all its record batches.
type Partition struct {
	LeaderEpoch int32
	Start, End  int64
	Batches     []string // base offset, last offset, records, and the hash of the bytes
	Records     int
	Epochs      []string // end offset of each leader epoch
	Times       []string // ListOffsets of special and plain timestamps
}

// Read looks at every topic that does not start with "__".
func Read(ctx context.Context, addr string) (*State, error) {
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(1, 11) // Fetch by topic name
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MaxVersions(versions))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	req := kmsg.NewPtrMetadataRequest()
	meta, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	s := &State{Topics: map[string]*Topic{}}
	if meta.ClusterID != nil {
		s.ClusterID = *meta.ClusterID
	}
	for _, t := range meta.Topics {
		name := *t.Topic
		if strings.HasPrefix(name, "__") {
			continue
		}
		topic := &Topic{ID: t.TopicID, Partitions: map[int32]*Partition{}}
		if topic.Configs, err = configs(ctx, cl, name); err != nil {
			return nil, err
		}
		for _, p := range t.Partitions {
			part := &Partition{LeaderEpoch: p.LeaderEpoch}
			if err := part.read(ctx, cl, name, p.Partition); err != nil {
				return nil, fmt.Errorf("read %s-%d: %w", name, p.Partition, err)
			}
			topic.Partitions[p.Partition] = part
		}
		s.Topics[name] = topic
	}
	return s, nil
}

func configs(ctx context.Context, cl *kgo.Client, topic string) (map[string]string, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, c := range resp.Resources[0].Configs {
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig && c.Value != nil {
			out[c.Name] = *c.Value
		}
	}
	return out, kerr.ErrorForCode(resp.Resources[0].ErrorCode)
}

func listOffset(ctx context.Context, cl *kgo.Client, topic string, partition int32, ts int64) (kmsg.ListOffsetsResponseTopicPartition, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, ts
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return kmsg.ListOffsetsResponseTopicPartition{}, err
	}
	out := resp.Topics[0].Partitions[0]
	return out, kerr.ErrorForCode(out.ErrorCode)
}

func (p *Partition) read(ctx context.Context, cl *kgo.Client, topic string, partition int32) error {
	first, err := listOffset(ctx, cl, topic, partition, -2)
	if err != nil {
		return err
	}
	last, err := listOffset(ctx, cl, topic, partition, -1)
	if err != nil {
		return err
	}
	p.Start, p.End = first.Offset, last.Offset
	times := map[int64]bool{}
	for at := p.Start; at < p.End; {
		next, err := p.fetch(ctx, cl, topic, partition, at, times)
		if err != nil {
			return fmt.Errorf("fetch from %d: %w", at, err)
		}
		if next <= at {
			return fmt.Errorf("fetch from %d of %d brings nothing", at, p.End)
		}
		at = next
	}
	for i, ts := range append([]int64{-3}, slices.Sorted(maps.Keys(times))...) {
		if i > 20 {
			break
		}
		o, err := listOffset(ctx, cl, topic, partition, ts)
		if err != nil {
			return err
		}
		p.Times = append(p.Times, fmt.Sprintf("%d: %d at %d", ts, o.Offset, o.Timestamp))
	}
	return p.epochs(ctx, cl, topic, partition)
}

// fetch reads from an offset and notes the batches; it returns the offset behind the last whole one.
func (p *Partition) fetch(ctx context.Context, cl *kgo.Client, topic string, partition int32, at int64, times map[int64]bool) (int64, error) {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = -1, 100, 1, 8<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	fp := kmsg.NewFetchRequestTopicPartition()
	fp.Partition, fp.FetchOffset, fp.PartitionMaxBytes, fp.CurrentLeaderEpoch = partition, at, 4<<20, -1
	t.Partitions = append(t.Partitions, fp)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return 0, err
	}
	got := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return 0, err
	}
	next := at
	for b := got.RecordBatches; len(b) >= 61; {
		n := 12 + int(binary.BigEndian.Uint32(b[8:]))
		if n > len(b) {
			break
		}
		var rb kmsg.RecordBatch
		if err := rb.ReadFrom(b[:n]); err != nil {
			return 0, err
		}
		lastOffset := rb.FirstOffset + int64(rb.LastOffsetDelta)
		p.Batches = append(p.Batches, fmt.Sprintf("%d-%d, %d records, %x", rb.FirstOffset, lastOffset, rb.NumRecords, sha256.Sum256(b[:n])))
		p.Records += int(rb.NumRecords)
		times[rb.FirstTimestamp] = true
		next, b = lastOffset+1, b[n:]
	}
	return next, nil
}

// epochs asks where each leader epoch ended.
func (p *Partition) epochs(ctx context.Context, cl *kgo.Client, topic string, partition int32) error {
	for e := range int32(4) {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.ReplicaID = -1
		t := kmsg.NewOffsetForLeaderEpochRequestTopic()
		t.Topic = topic
		rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rp.Partition, rp.LeaderEpoch = partition, e
		t.Partitions = append(t.Partitions, rp)
		req.Topics = append(req.Topics, t)
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return err
		}
		got := resp.Topics[0].Partitions[0]
		p.Epochs = append(p.Epochs, fmt.Sprintf("%d: epoch %d ends at %d", e, got.LeaderEpoch, got.EndOffset))
	}
	return nil
}
