package handler

import (
	"github.com/twmb/franz-go/pkg/kbin"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/protocol"
)

// fetchResponse is a Fetch response before it is encoded. It is written by hand, since the record bytes have to go from
// the log to the socket without passing through an encoder, and a session's many empty partitions cost kmsg several
// allocations each.
type fetchResponse struct {
	ThrottleMillis int32
	ErrorCode      int16
	SessionID      int32
	Partitions     []fetchedPartition // neighbours of one topic are sent as one topic, as Kafka groups them
	Nodes          []nodeEndpoint     // where the leaders named in Partitions are (v16+)

	bodies *listener.EncodedPool // nil: none
}

// fetchedPartition is the answer for one partition. newFetchedPartition gives the fields their "none" values.
type fetchedPartition struct {
	Topic                string           // sent up to v12
	TopicID              protocol.TopicID // sent from v13 on
	Partition            int32
	ErrorCode            int16
	Omit                 bool // not sent: an incremental answer has no news of it
	HighWatermark        int64
	LastStableOffset     int64
	LogStartOffset       int64
	Aborted              []abortedTransaction // nil is sent as null: the fetch was not read_committed
	PreferredReadReplica int32
	Diverging            epochEnd        // v12+
	CurrentLeader        leaderNow       // v12+
	Records              listener.Region // nil is sent as empty: clients trip over null
}

type abortedTransaction struct{ ProducerID, FirstOffset int64 }

// epochEnd is where an epoch ends, here the largest one that both sides share; Epoch -1 is none.
type epochEnd struct {
	Epoch     int32
	EndOffset int64
}

// leaderNow tells a client whose leader is out of date where to go (KIP-951); both -1 is none.
type leaderNow struct{ ID, Epoch int32 }

type nodeEndpoint struct {
	ID   int32
	Host string
	Port int32
	Rack *string
}

func newFetchedPartition(topic string, id protocol.TopicID, partition int32) fetchedPartition {
	return fetchedPartition{
		Topic: topic, TopicID: id, Partition: partition,
		HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReadReplica: -1,
		Diverging: epochEnd{-1, -1}, CurrentLeader: leaderNow{-1, -1},
	}
}

// encode writes the response in version (4-18). The regions belong to the result from then on, those of omitted
// partitions are closed.
//
//	throttle_time_ms int32 · error_code int16 v7+ · session_id int32 v7+ · topics · tags v12+ {0: node endpoints v16+}
//	topic: name v4-12 or id v13+ · partitions · tags v12+
//	partition: index int32 · error_code int16 · high_watermark int64 · last_stable_offset int64 ·
//	  log_start_offset int64 v5+ · aborted_transactions? · preferred_read_replica int32 v11+ · records ·
//	  tags v12+ {0: diverging epoch, 1: current leader}
func (f *fetchResponse) encode(version int16) *listener.Encoded {
	e := f.bodies.Get()
	e.Grow(f.bound())
	dst := kbin.AppendInt32(e.Head, f.ThrottleMillis)
	if version >= 7 {
		dst = kbin.AppendInt16(dst, f.ErrorCode)
		dst = kbin.AppendInt32(dst, f.SessionID)
	}
	e.Head = appendLen(dst, version, f.topicCount(version))
	for i := 0; i < len(f.Partitions); {
		i = f.encodeTopic(e, version, i)
	}
	if version >= 12 {
		e.Head = f.appendNodes(e.Head, version)
	}
	return e
}

// bound is how much room the response takes at most, but for the texts of node endpoints, which are rare.
func (f *fetchResponse) bound() (head, regions int) {
	head = 4 + 2 + 4 + 5 + 16
	for i := range f.Partitions {
		p := &f.Partitions[i]
		if p.Omit {
			continue
		}
		head += 4 + 2 + 3*8 + 5 + 4 + 5 + 1 + 17*len(p.Aborted)
		if i == 0 || p.Topic != f.Partitions[i-1].Topic {
			head += 2 + max(len(p.Topic), 16) + 5 + 1
		}
		if p.Records != nil {
			regions++
		}
	}
	return head, regions
}

// encodeTopic writes the run of partitions of one topic that starts at i and returns where the next one starts.
func (f *fetchResponse) encodeTopic(e *listener.Encoded, version int16, i int) int {
	first, end, count := f.run(version, i)
	if first != nil {
		if version >= 13 {
			e.Head = append(e.Head, first.TopicID[:]...)
		} else {
			e.Head = appendString(e.Head, version, first.Topic)
		}
		e.Head = appendLen(e.Head, version, count)
	}
	for ; i < end; i++ {
		p := &f.Partitions[i]
		if p.Omit {
			if p.Records != nil {
				_ = p.Records.Close() // it was only read
			}
			continue
		}
		p.encode(e, version)
	}
	if first != nil && version >= 12 {
		e.Head = append(e.Head, 0) // no tags
	}
	return end
}

// run finds the partitions of one topic that start at i: the first and the number of those that are sent (nil and 0 at
// the end of the list), and where the next topic starts.
func (f *fetchResponse) run(version int16, i int) (first *fetchedPartition, end, count int) {
	for end = i; end < len(f.Partitions); end++ {
		p := &f.Partitions[end]
		if p.Omit {
			continue
		}
		if first == nil {
			first = p
		} else if !first.sameTopic(p, version) {
			break
		}
		count++
	}
	return first, end, count
}

func (f *fetchResponse) topicCount(version int16) int {
	topics := 0
	for i := 0; i < len(f.Partitions); {
		first, end, _ := f.run(version, i)
		if first != nil {
			topics++
		}
		i = end
	}
	return topics
}

func (p *fetchedPartition) sameTopic(o *fetchedPartition, version int16) bool {
	if version >= 13 {
		return p.TopicID == o.TopicID
	}
	return p.Topic == o.Topic
}

func (p *fetchedPartition) encode(e *listener.Encoded, version int16) {
	dst := kbin.AppendInt32(e.Head, p.Partition)
	dst = kbin.AppendInt16(dst, p.ErrorCode)
	dst = kbin.AppendInt64(dst, p.HighWatermark)
	dst = kbin.AppendInt64(dst, p.LastStableOffset)
	if version >= 5 {
		dst = kbin.AppendInt64(dst, p.LogStartOffset)
	}
	if p.Aborted == nil {
		dst = appendNull(dst, version)
	} else {
		dst = appendLen(dst, version, len(p.Aborted))
	}
	for _, a := range p.Aborted {
		dst = kbin.AppendInt64(dst, a.ProducerID)
		dst = kbin.AppendInt64(dst, a.FirstOffset)
		if version >= 12 {
			dst = append(dst, 0)
		}
	}
	if version >= 11 {
		dst = kbin.AppendInt32(dst, p.PreferredReadReplica)
	}
	size := 0
	if p.Records != nil {
		size = p.Records.Size()
	}
	e.Head = appendLen(dst, version, size)
	if p.Records != nil {
		e.AddRegion(p.Records)
	}
	if version >= 12 {
		e.Head = p.appendTags(e.Head)
	}
}

func (p *fetchedPartition) appendTags(dst []byte) []byte {
	diverging, moved := p.Diverging != epochEnd{-1, -1}, p.CurrentLeader != leaderNow{-1, -1}
	count := byte(0)
	if diverging {
		count++
	}
	if moved {
		count++
	}
	dst = append(dst, count)
	if diverging {
		dst = append(dst, 0, 4+8+1) // tag, size
		dst = kbin.AppendInt32(dst, p.Diverging.Epoch)
		dst = kbin.AppendInt64(dst, p.Diverging.EndOffset)
		dst = append(dst, 0)
	}
	if moved {
		dst = append(dst, 1, 4+4+1)
		dst = kbin.AppendInt32(dst, p.CurrentLeader.ID)
		dst = kbin.AppendInt32(dst, p.CurrentLeader.Epoch)
		dst = append(dst, 0)
	}
	return dst
}

// appendNodes writes the response's own tags.
func (f *fetchResponse) appendNodes(dst []byte, version int16) []byte {
	if version < 16 {
		return append(dst, 0)
	}
	return appendEndpoints(dst, f.Nodes)
}

// appendEndpoints writes the tags of a response of which the only one, tag 0, is the addresses of leaders (KIP-951).
func appendEndpoints(dst []byte, nodes []nodeEndpoint) []byte {
	if len(nodes) == 0 {
		return append(dst, 0)
	}
	size := kbin.UvarintLen(uint32(len(nodes) + 1))
	for i := range nodes {
		size += nodes[i].size()
	}
	dst = append(dst, 1, 0) // one tag, tag 0
	dst = kbin.AppendUvarint(dst, uint32(size))
	dst = kbin.AppendCompactArrayLen(dst, len(nodes))
	for _, n := range nodes {
		dst = kbin.AppendInt32(dst, n.ID)
		dst = kbin.AppendCompactString(dst, n.Host)
		dst = kbin.AppendInt32(dst, n.Port)
		dst = kbin.AppendCompactNullableString(dst, n.Rack)
		dst = append(dst, 0)
	}
	return dst
}

func (n *nodeEndpoint) size() int {
	size := 4 + kbin.UvarintLen(uint32(len(n.Host)+1)) + len(n.Host) + 4 + 1
	if n.Rack == nil {
		return size + 1
	}
	return size + kbin.UvarintLen(uint32(len(*n.Rack)+1)) + len(*n.Rack)
}

// appendLen writes the length of an array or of bytes: compact from v12 on.
func appendLen(dst []byte, version int16, n int) []byte {
	if version >= 12 {
		return kbin.AppendUvarint(dst, uint32(n)+1)
	}
	return kbin.AppendInt32(dst, int32(n))
}

func appendNull(dst []byte, version int16) []byte {
	if version >= 12 {
		return append(dst, 0)
	}
	return kbin.AppendInt32(dst, -1)
}

func appendString(dst []byte, version int16, s string) []byte {
	if version >= 12 {
		return kbin.AppendCompactString(dst, s)
	}
	return kbin.AppendString(dst, s)
}
