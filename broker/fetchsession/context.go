package fetchsession

import (
	"time"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// Context is one fetch request on its way. It is used by one goroutine at a time.
type Context struct {
	ErrorCode  int16       // the request's session is not as it says: nothing is fetched, this is the answer
	Partitions []Partition // to be fetched, in this order

	cache *Cache

	create   bool // Finish makes a session
	follower bool
	version  int16

	session *session // of an incremental fetch
	epoch   int32    // of the session after this request
	cached  []*cached
}

// Result is what was found for one partition.
type Result struct {
	HighWatermark  int64
	LogStartOffset int64
	RecordBytes    int
	ErrorCode      int16
	MustSend       bool // it carries a diverging epoch or a preferred read replica
}

// Answer is the session part of a Fetch response.
type Answer struct {
	ErrorCode int16 // other than 0: no partition is sent
	SessionID int32
	Omit      []bool // parallel to Partitions: what is not news; nil: everything is sent
}

// Incremental reports whether the fetch goes on with a session.
func (x *Context) Incremental() bool { return x.session != nil }

// Finish notes in the session what is answered, results being parallel to Partitions. It is called at most once.
func (x *Context) Finish(now time.Time, results []Result) Answer {
	switch {
	case x.ErrorCode != 0:
		return Answer{ErrorCode: x.ErrorCode}
	case x.create:
		return Answer{SessionID: x.createSession(now, results)}
	case x.session == nil:
		return Answer{}
	}
	s := x.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != x.epoch { // another request of the session was faster: most likely this one was sent twice
		return Answer{ErrorCode: int16(errcode.KindInvalidFetchSessionEpoch), SessionID: s.id}
	}
	omit := make([]bool, len(results))
	for i := range results {
		omit[i] = !s.answer(x.cached[i], &results[i])
	}
	return Answer{SessionID: s.id, Omit: omit}
}

// Throttled is the answer, without partitions, of a fetch that has to wait for its quota: the session does not move.
func (x *Context) Throttled() Answer {
	if x.session == nil {
		return Answer{ErrorCode: x.ErrorCode}
	}
	s := x.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != x.epoch {
		return Answer{ErrorCode: int16(errcode.KindInvalidFetchSessionEpoch), SessionID: s.id}
	}
	return Answer{SessionID: s.id}
}

func (x *Context) createSession(now time.Time, results []Result) int32 {
	s := newSession(x.follower, x.version >= 13, len(x.Partitions))
	for i, p := range x.Partitions {
		s.add(keyOf(p.TopicIDPartition, s.byID), &cached{
			Partition: p, highWatermark: results[i].HighWatermark, localStart: results[i].LogStartOffset,
		})
	}
	return x.cache.create(now, s)
}

// lastOfEach drops all but the last mention of a partition, which takes the place of the first, as in Kafka.
func lastOfEach(parts []Partition, version int16) []Partition {
	if len(parts) < 2 {
		return parts
	}
	places := make(map[key]int, len(parts))
	for i := range parts {
		places[keyOf(parts[i].TopicIDPartition, version >= 13)] = i
	}
	if len(places) == len(parts) {
		return parts
	}
	out := parts[:0]
	for i := range parts {
		k := keyOf(parts[i].TopicIDPartition, version >= 13)
		if last, ok := places[k]; ok {
			out = append(out, parts[last])
			delete(places, k)
		}
	}
	return out
}
