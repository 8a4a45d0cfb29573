package fetchsession

import (
	"sync"
	"time"

	"github.com/distributedmq/dmq/protocol"
)

// session is what one client fetches.
type session struct {
	id         int32
	privileged bool // a follower's
	byID       bool // its partitions are named by topic id: it was created by v13 or later

	// Guarded by Cache.mu.
	cachedSize    int
	cachedCreated time.Time
	cachedUsed    time.Time
	cachedOld     bool

	mu         sync.Mutex // guards the fields below
	epoch      int32      // of the next request
	partitions map[key]*cached
	head, tail *cached // in the order in which they are fetched
}

// key names a partition within one session: by the topic's id or by its name, never by both.
type key struct {
	id        protocol.TopicID
	topic     string
	partition int32
}

func keyOf(tp protocol.TopicIDPartition, byID bool) key {
	if byID {
		return key{id: tp.ID, partition: tp.Partition}
	}
	return key{topic: tp.Topic, partition: tp.Partition}
}

// cached is one partition of a session: what was asked of it last, and what was answered.
type cached struct {
	Partition
	highWatermark int64
	localStart    int64
	prev, next    *cached
}

func newSession(privileged, byID bool, size int) *session {
	return &session{privileged: privileged, byID: byID, epoch: nextEpoch(initialEpoch), partitions: make(map[key]*cached, size)}
}

func (s *session) count() int { return len(s.partitions) }

// update takes in what an incremental request says.
func (s *session) update(parts []Partition, forgotten []protocol.TopicIDPartition) {
	for i := range parts {
		k := keyOf(parts[i].TopicIDPartition, s.byID)
		if c := s.partitions[k]; c != nil {
			name := c.Topic
			if c.CurrentLeaderEpoch != parts[i].CurrentLeaderEpoch {
				c.highWatermark = -1 // a follower took over nothing that came after it had heard of the epoch
			}
			c.Partition = parts[i]
			if c.Topic == "" {
				c.Topic = name
			}
			continue
		}
		s.add(k, &cached{Partition: parts[i], highWatermark: -1, localStart: -1})
	}
	for _, tp := range forgotten {
		k := keyOf(tp, s.byID)
		if c := s.partitions[k]; c != nil {
			delete(s.partitions, k)
			s.unlink(c)
		}
	}
}

// list copies what is to be fetched, with the partitions' places.
func (s *session) list(topicName func(protocol.TopicID) (string, bool)) ([]Partition, []*cached) {
	parts, places := make([]Partition, 0, len(s.partitions)), make([]*cached, 0, len(s.partitions))
	for c := s.head; c != nil; c = c.next {
		if c.Topic == "" && topicName != nil {
			c.Topic, _ = topicName(c.ID)
		}
		parts, places = append(parts, c.Partition), append(places, c)
	}
	return parts, places
}

func (s *session) add(k key, c *cached) {
	s.partitions[k] = c
	s.link(c)
}

func (s *session) link(c *cached) {
	c.prev, c.next = s.tail, nil
	if s.tail == nil {
		s.head = c
	} else {
		s.tail.next = c
	}
	s.tail = c
}

func (s *session) unlink(c *cached) {
	if c.prev == nil {
		s.head = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		s.tail = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
}

// answer notes what is answered for c and reports whether it is news: records, an error, another high watermark or log
// start offset, or something the client has to act on. A partition with records moves to the end of the session, so that
// the next fetch begins with others.
func (s *session) answer(c *cached, r *Result) bool {
	news := r.MustSend || r.RecordBytes > 0 || r.ErrorCode != 0 ||
		c.highWatermark != r.HighWatermark || c.localStart != r.LogStartOffset
	c.highWatermark, c.localStart = r.HighWatermark, r.LogStartOffset
	if r.ErrorCode != 0 {
		c.highWatermark = -1 // so that it is sent again when the error is gone
	}
	if r.RecordBytes > 0 {
		s.unlink(c)
		s.link(c)
	}
	return news
}

func (s *session) usedBefore(o *session) bool {
	if !s.cachedUsed.Equal(o.cachedUsed) {
		return s.cachedUsed.Before(o.cachedUsed)
	}
	return s.id < o.id
}

func (s *session) worthLess(o *session) bool {
	if s.privileged != o.privileged {
		return o.privileged
	}
	if s.cachedSize != o.cachedSize {
		return s.cachedSize < o.cachedSize
	}
	return s.id < o.id
}

func (s *session) worthLessThanNew(privileged bool, size int) bool {
	if s.privileged != privileged {
		return privileged
	}
	return s.cachedSize < size
}
