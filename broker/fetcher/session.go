package fetcher

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// session is the follower's half of a fetch session (KIP-227): the leader remembers what is fetched, and a request says only
// what is different from the one before.
//
//	epoch 0        the next request names everything and, with the id of a session that went wrong, ends that one
//	epoch n > 0    the next request names what has changed
//
// A leader that gives no id has no room for a session: then every request names everything.
type session struct {
	id, epoch int32
	parts     map[key]*followed
	changed   []*followed // of parts: not at the leader, or with another position there
	forgotten []key       // at the leader and no longer of parts
}

// want has a partition fetched from where it stands.
func (s *session) want(p *followed) {
	if s.parts == nil {
		s.parts = make(map[key]*followed)
	}
	s.parts[p.key()] = p
	if !p.queued && (!p.session || p.sent != p.at) {
		p.queued = true
		s.changed = append(s.changed, p)
	}
}

// drop has a partition not fetched any more.
func (s *session) drop(p *followed) {
	if s.parts[p.key()] != p {
		return
	}
	delete(s.parts, p.key())
	if p.session {
		s.forgotten = append(s.forgotten, p.key())
	}
	p.session = false
}

// build adds to a request what is to be fetched.
func (s *session) build(req *kmsg.FetchRequest, maxBytes int32) {
	req.SessionID, req.SessionEpoch = s.id, s.epoch
	b := requestBuilder{req: req, topics: make(map[protocol.TopicID]int), maxBytes: maxBytes}
	if s.epoch == 0 {
		for _, p := range s.parts {
			b.add(p)
		}
	} else {
		for _, p := range s.changed {
			if s.parts[p.key()] == p { // it may have been dropped since
				b.add(p)
			}
		}
		b.forget(s.forgotten, s.parts)
	}
	for _, p := range s.changed {
		p.queued = false
	}
	clear(s.changed)
	s.changed, s.forgotten = s.changed[:0], s.forgotten[:0]
}

// requestBuilder groups partitions by topic.
type requestBuilder struct {
	req      *kmsg.FetchRequest
	topics   map[protocol.TopicID]int // places in req.Topics
	maxBytes int32
}

func (b *requestBuilder) add(p *followed) {
	i, ok := b.topics[p.ID]
	if !ok {
		i = len(b.req.Topics)
		b.topics[p.ID] = i
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = p.Topic, p.ID
		b.req.Topics = append(b.req.Topics, t)
	}
	out := kmsg.NewFetchRequestTopicPartition()
	out.Partition, out.PartitionMaxBytes = p.Partition, b.maxBytes
	out.CurrentLeaderEpoch, out.LastFetchedEpoch = int32(p.leaderEpoch), int32(p.at.LastEpoch)
	out.FetchOffset, out.LogStartOffset = p.at.LogEndOffset, p.at.LogStartOffset
	b.req.Topics[i].Partitions = append(b.req.Topics[i].Partitions, out)
	p.session, p.sent = true, p.at
}

// forget names what the leader need not remember. What has come back meanwhile is only changed.
func (b *requestBuilder) forget(keys []key, parts map[key]*followed) {
	topics := make(map[protocol.TopicID]int)
	for _, k := range keys {
		if parts[k] != nil {
			continue
		}
		i, ok := topics[k.topic]
		if !ok {
			i = len(b.req.ForgottenTopics)
			topics[k.topic] = i
			t := kmsg.NewFetchRequestForgottenTopic()
			t.TopicID = k.topic
			b.req.ForgottenTopics = append(b.req.ForgottenTopics, t)
		}
		t := &b.req.ForgottenTopics[i]
		t.Partitions = append(t.Partitions, k.partition)
	}
}

// answered takes in the session part of an answer. False means that the answer has nothing else: the session went wrong and
// begins anew.
func (s *session) answered(resp *kmsg.FetchResponse) bool {
	switch kind := errcode.Kind(resp.ErrorCode); {
	case kind == errcode.KindFetchSessionIDNotFound:
		s.id = 0
		s.restart()
		return false
	case kind != errcode.KindNone:
		s.restart()
		return false
	case resp.SessionID == 0:
		s.id = 0
		s.restart()
	case s.epoch == 0:
		s.id, s.epoch = resp.SessionID, 1
	case s.epoch == math.MaxInt32:
		s.epoch = 1
	default:
		s.epoch++
	}
	return true
}

// restart has the next request name everything. The leader ends the session that there was.
func (s *session) restart() {
	s.epoch = 0
	for _, p := range s.parts {
		p.session = false
	}
	s.forgotten = s.forgotten[:0]
}
