package controller

import (
	"math"
	"sync"
	"time"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// sessions knows when each broker was last heard of. It is not replicated: a new leader starts with every unfenced broker
// as just heard of.
type sessions struct {
	timeout time.Duration

	mu    sync.Mutex // guards the fields below and what byID points to
	byID  map[protocol.NodeID]*session
	conns map[incarnation]int // session connections that are open
}

// incarnation is one life of a broker's process.
type incarnation struct {
	id   protocol.NodeID
	name protocol.TopicID
}

type session struct {
	epoch          protocol.BrokerEpoch
	contact        time.Time // zero: never under this epoch
	metadataOffset int64     // as the broker reported it last
	shutdownOffset int64     // the brokers must reach it before this one may stop; -1: not in controlled shutdown
}

func newSessions(timeout time.Duration) *sessions {
	return &sessions{timeout: timeout, byID: make(map[protocol.NodeID]*session), conns: make(map[incarnation]int)}
}

// reset begins with the brokers of an image, the unfenced ones as heard of now.
func (s *sessions) reset(img *image.Image, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.byID)
	for id, b := range img.Brokers {
		entry := &session{epoch: b.Epoch, metadataOffset: -1, shutdownOffset: -1}
		if !b.Fenced {
			entry.contact = now
		}
		s.byID[id] = entry
	}
}

// renew takes the unfenced brokers as heard of now.
func (s *sessions) renew(img *image.Image, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, entry := range s.byID {
		if b := img.Brokers[id]; b != nil && !b.Fenced {
			entry.contact = now
		}
	}
}

// sync follows a committed image: new registrations begin a session, gone ones end it.
func (s *sessions) sync(img *image.Image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.byID {
		if img.Brokers[id] == nil {
			delete(s.byID, id)
		}
	}
	for id, b := range img.Brokers {
		if entry := s.byID[id]; entry == nil || entry.epoch != b.Epoch {
			s.byID[id] = &session{epoch: b.Epoch, metadataOffset: -1, shutdownOffset: -1}
		} else if b.Fenced {
			entry.shutdownOffset = -1
		}
	}
}

// contact notes that the broker was heard of.
func (s *sessions) contact(id protocol.NodeID, epoch protocol.BrokerEpoch, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry := s.byID[id]; entry != nil && entry.epoch == epoch {
		entry.contact = now
	}
}

// end forgets when the broker was heard of under this epoch: it said goodbye, or its process is gone.
func (s *sessions) end(id protocol.NodeID, epoch protocol.BrokerEpoch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry := s.byID[id]; entry != nil && entry.epoch == epoch {
		entry.contact = time.Time{}
	}
}

// connected counts a session connection.
func (s *sessions) connected(id protocol.NodeID, name protocol.TopicID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[incarnation{id, name}]++
}

// disconnected counts it off, and reports whether it was the last of its incarnation.
func (s *sessions) disconnected(id protocol.NodeID, name protocol.TopicID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := incarnation{id, name}
	if s.conns[key]--; s.conns[key] > 0 {
		return false
	}
	delete(s.conns, key)
	return true
}

func (s *sessions) isConnected(id protocol.NodeID, name protocol.TopicID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[incarnation{id, name}] > 0
}

// reached notes the metadata position the broker has applied.
func (s *sessions) reached(id protocol.NodeID, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry := s.byID[id]; entry != nil {
		entry.metadataOffset = offset
	}
}

// valid reports whether the broker was heard of under this epoch within the session timeout.
func (s *sessions) valid(id protocol.NodeID, epoch protocol.BrokerEpoch, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.byID[id]
	return entry != nil && entry.epoch == epoch && !entry.contact.IsZero() && now.Sub(entry.contact) < s.timeout
}

// shutdownOffset returns the position that all brokers must reach before this one may stop; ok is false for a broker that
// is not in controlled shutdown.
func (s *sessions) shutdownOffset(id protocol.NodeID) (offset int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.byID[id]
	if entry == nil || entry.shutdownOffset < 0 {
		return 0, false
	}
	return entry.shutdownOffset, true
}

// beginShutdown sets that position, once.
func (s *sessions) beginShutdown(id protocol.NodeID, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry := s.byID[id]; entry != nil && entry.shutdownOffset < 0 {
		entry.shutdownOffset = offset
	}
}

// lastContact is when the broker was heard of; zero: not since this controller became active, or not since it registered.
func (s *sessions) lastContact(id protocol.NodeID) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry := s.byID[id]; entry != nil {
		return entry.contact
	}
	return time.Time{}
}

// lowestActive is the lowest metadata position that an active broker has reported. One registered over REST follows no
// metadata: nobody waits for it.
func (s *sessions) lowestActive(img *image.Image) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	lowest := int64(math.MaxInt64)
	for id, b := range img.Brokers {
		if entry := s.byID[id]; b.Active() && !b.ByREST() && entry != nil && entry.shutdownOffset < 0 {
			lowest = min(lowest, entry.metadataOffset)
		}
	}
	return lowest
}

// next returns when the first session of an unfenced broker ends, and whose it is. One that was ended (end) does so now.
func (s *sessions) next(img *image.Image, now time.Time) (id protocol.NodeID, at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for broker, b := range img.Brokers {
		entry := s.byID[broker]
		if b.Fenced || entry == nil {
			continue
		}
		end := entry.contact.Add(s.timeout)
		if entry.contact.IsZero() {
			end = now
		}
		if !ok || end.Before(at) || end.Equal(at) && broker < id {
			id, at, ok = broker, end, true
		}
	}
	return id, at, ok
}
