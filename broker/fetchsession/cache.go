package fetchsession

import (
	"math/rand/v2"
	"time"

	"github.com/distributedmq/dmq/protocol"
)

// Options configure a Cache.
type Options struct {
	Slots      int           // max.incremental.fetch.session.cache.slots; 0: 1000
	Partitions int           // most partitions in all sessions; 0: 1,000,000
	MinEvict   time.Duration // how long a session must be unused, or old, to be evicted; 0: 2 min
	Rand       *rand.Rand    // draws session ids
}

// Cache holds the sessions.
type Cache struct{ o Options }

// New returns an empty cache.
func New(o Options) *Cache { return &Cache{o: o} }

// Partition is what a fetch asks of one partition.
type Partition struct {
	protocol.TopicIDPartition // Topic is "" while the name of an id is not known
	FetchOffset               int64
	LogStartOffset            int64 // the follower's; -1 for a consumer
	MaxBytes                  int32
	CurrentLeaderEpoch        int32 // -1: none
	LastFetchedEpoch          int32 // -1: none
}

// Result is what was found for one partition.
type Result struct {
	HighWatermark  int64
	LogStartOffset int64
	RecordBytes    int
	ErrorCode      int16
	MustSend       bool // it carries a diverging epoch or a preferred read replica
}

// Request is the session part of a Fetch request.
type Request struct {
	Version    int16
	SessionID  int32
	Epoch      int32 // 0: a full fetch that asks for a session; -1: a full fetch that closes it
	Follower   bool
	Partitions []Partition
	Forgotten  []protocol.TopicIDPartition
	TopicName  func(protocol.TopicID) (string, bool) // resolves names a session could not before
}

// Open finds out what r is to fetch. Finish must be called for the context.
func (c *Cache) Open(now time.Time, r Request) *Context { panic("not built yet") }

// Len is the number of sessions, Cached that of partitions in them, Evictions counts sessions given up for others.
func (c *Cache) Len() int         { panic("not built yet") }
func (c *Cache) Cached() int      { panic("not built yet") }
func (c *Cache) Evictions() int64 { panic("not built yet") }

// Context is one fetch request on its way.
type Context struct {
	ErrorCode  int16       // of the session; nothing is to be fetched then
	Partitions []Partition // to be fetched, in this order
}

// Answer is the session part of a Fetch response.
type Answer struct {
	ErrorCode int16
	SessionID int32
}

// Finish records what results, parallel to Partitions, are answered and tells which of them are sent: those with
// send[i] left true. In a full fetch that is all of them. ErrorCode other than 0 means that nothing is sent.
func (x *Context) Finish(now time.Time, results []Result, send []bool) Answer { panic("not built yet") }
