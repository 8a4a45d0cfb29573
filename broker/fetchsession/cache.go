package fetchsession

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// The defaults of Options.
const (
	DefaultSlots      = 1000
	DefaultPartitions = 500_000
	DefaultMinEvict   = 2 * time.Minute
)

// Options configure a Cache. Rand is required.
type Options struct {
	Slots      int           // max.incremental.fetch.session.cache.slots; 0: DefaultSlots, negative: no sessions
	Partitions int           // most partitions in all sessions; 0: DefaultPartitions
	MinEvict   time.Duration // how long a session must be unused, or old, to be evicted; 0: DefaultMinEvict
	Rand       *rand.Rand    // draws session ids; used under the cache's lock only
}

// Cache holds the sessions.
type Cache struct {
	o Options

	mu         sync.Mutex // guards the fields below and the cached… fields of each session
	sessions   map[int32]*session
	partitions int // sum of cachedSize
	evictions  int64
}

// New returns an empty cache.
func New(o Options) *Cache {
	if o.Slots == 0 {
		o.Slots = DefaultSlots
	}
	if o.Partitions == 0 {
		o.Partitions = DefaultPartitions
	}
	if o.MinEvict == 0 {
		o.MinEvict = DefaultMinEvict
	}
	return &Cache{o: o, sessions: make(map[int32]*session)}
}

// Len is the number of sessions.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions)
}

// Partitions is the number of partitions in all sessions.
func (c *Cache) Partitions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.partitions
}

// Evictions counts the sessions given up for others.
func (c *Cache) Evictions() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.evictions
}

// Request is the session part of a Fetch request.
type Request struct {
	Version    int16
	SessionID  int32
	Epoch      int32 // 0: a full fetch that asks for a session; -1: a full fetch that asks for none
	Follower   bool
	Partitions []Partition
	Forgotten  []protocol.TopicIDPartition
	TopicName  func(protocol.TopicID) (string, bool) // finds names a session did not know before
}

// Partition is what a fetch asks of one partition.
type Partition struct {
	protocol.TopicIDPartition       // from v13 on by ID, and Topic is "" while its name is not known
	FetchOffset               int64 //
	LogStartOffset            int64 // the follower's; -1 of a consumer
	MaxBytes                  int32
	CurrentLeaderEpoch        int32 // -1: none
	LastFetchedEpoch          int32 // -1: none
}

// The epochs with a meaning of their own.
const (
	initialEpoch = 0
	finalEpoch   = -1
)

// nextEpoch wraps to 1, since 0 asks for a new session.
func nextEpoch(epoch int32) int32 {
	if epoch == math.MaxInt32 {
		return 1
	}
	return epoch + 1
}

// Open finds out what r is to fetch. A full fetch closes the session it names, and creates one in Context.Finish if it
// asks for it; an incremental one updates its session.
func (c *Cache) Open(now time.Time, r Request) *Context {
	if r.Epoch != initialEpoch && r.Epoch != finalEpoch {
		return c.openIncremental(now, r)
	}
	if r.SessionID != 0 {
		c.remove(r.SessionID)
	}
	x := &Context{cache: c, Partitions: lastOfEach(r.Partitions, r.Version)}
	if r.Epoch == initialEpoch {
		x.create, x.follower, x.version = true, r.Follower, r.Version
	}
	return x
}

func (c *Cache) openIncremental(now time.Time, r Request) *Context {
	s := c.get(r.SessionID)
	if s == nil {
		return &Context{ErrorCode: int16(errcode.KindFetchSessionIDNotFound)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.epoch != r.Epoch:
		return &Context{ErrorCode: int16(errcode.KindInvalidFetchSessionEpoch)}
	case s.byID != (r.Version >= 13):
		return &Context{ErrorCode: int16(errcode.KindFetchSessionTopicIDError)}
	}
	s.update(r.Partitions, r.Forgotten)
	if s.count() == 0 {
		c.remove(s.id)
		return &Context{cache: c, Partitions: r.Partitions}
	}
	if !c.touch(s, now, s.count()) {
		return &Context{ErrorCode: int16(errcode.KindFetchSessionIDNotFound)}
	}
	s.epoch = nextEpoch(s.epoch)
	x := &Context{cache: c, session: s, epoch: s.epoch}
	x.Partitions, x.cached = s.list(r.TopicName)
	return x
}

func (c *Cache) get(id int32) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[id]
}

// create makes a session if there is room for one of size partitions, and returns its id, else 0.
func (c *Cache) create(now time.Time, s *session) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := s.count()
	if c.o.Slots < 0 || size > c.o.Partitions {
		return 0
	}
	for len(c.sessions) >= c.o.Slots || c.partitions+size > c.o.Partitions {
		if !c.evictLocked(now, s.privileged, size) {
			return 0
		}
	}
	for s.id == 0 || c.sessions[s.id] != nil {
		s.id = c.o.Rand.Int32()
	}
	s.cachedCreated = now
	c.sessions[s.id] = s
	c.touchLocked(s, now, size)
	return s.id
}

// touch notes that s was used and has size partitions now. It returns false if s has been evicted meanwhile, or has to
// go because it has grown beyond what the cache may hold.
func (c *Cache) touch(s *session, now time.Time, size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions[s.id] != s {
		return false
	}
	if c.partitions-s.cachedSize+size > c.o.Partitions {
		c.removeLocked(s)
		return false
	}
	c.touchLocked(s, now, size)
	return true
}

func (c *Cache) touchLocked(s *session, now time.Time, size int) {
	c.partitions += size - s.cachedSize
	s.cachedSize, s.cachedUsed = size, now
	s.cachedOld = now.Sub(s.cachedCreated) > c.o.MinEvict
}

func (c *Cache) remove(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[id]; s != nil {
		c.removeLocked(s)
	}
}

func (c *Cache) removeLocked(s *session) {
	delete(c.sessions, s.id)
	c.partitions -= s.cachedSize
}

// evictLocked gives up one session for a new one of size partitions, if one is worth less:
//
//   - Case A: the session unused for longest has not been used for MinEvict.
//   - Case B: the new session is a follower's (privileged) and there is a consumer's, or an old one of a follower.
//   - Case C: the new session has more partitions than one that is old.
//
// Old means that it was last used more than MinEvict after its creation. In B and C the session that goes is the first
// by: consumers before followers, fewer partitions, lower id; and it must come before the new one in that order.
func (c *Cache) evictLocked(now time.Time, privileged bool, size int) bool {
	var stalest, least *session
	for _, s := range c.sessions {
		if stalest == nil || s.usedBefore(stalest) {
			stalest = s
		}
		if (s.cachedOld || privileged && !s.privileged) && (least == nil || s.worthLess(least)) {
			least = s
		}
	}
	victim := stalest
	switch {
	case stalest == nil:
		return false
	case now.Sub(stalest.cachedUsed) > c.o.MinEvict:
	case least == nil || !least.worthLessThanNew(privileged, size):
		return false
	default:
		victim = least
	}
	c.removeLocked(victim)
	c.evictions++
	return true
}
