package epoch

import (
	"slices"
	"sort"
	"sync"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/vfs"
)

const (
	// UndefinedEpoch is what EndOffsetFor answers when it knows nothing (UNDEFINED_EPOCH).
	UndefinedEpoch int32 = -1
	// UndefinedOffset is what EndOffsetFor answers when it knows nothing (UNDEFINED_EPOCH_OFFSET).
	UndefinedOffset int64 = -1
)

// FileName is the checkpoint's name in the partition's folder.
const FileName = checkpoint.LeaderEpochFile

// Entry says that LeaderEpoch began at StartOffset.
type Entry = checkpoint.EpochEntry

// Cache holds the entries of one partition, in memory, and writes them to the checkpoint on Flush.
type Cache struct {
	fs vfs.FS

	mu      sync.RWMutex // guards the fields below
	path    string
	entries []Entry // sorted; invariants 1 and 2
	changes uint64  // counts changes of entries

	flushMu sync.Mutex // one writer of the file; taken before mu
	flushed uint64     // value of changes that the file holds; guarded by flushMu
}

// Open reads the checkpoint at path. A missing file is an empty cache. Entries that break the order are dropped as
// Kafka does, the later line winning.
func Open(fsys vfs.FS, path string) (*Cache, error) {
	c := &Cache{fs: fsys, path: path}
	entries, err := checkpoint.ReadEpochs(fsys, path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		c.assignLocked(e)
	}
	if slices.Equal(entries, c.entries) {
		c.flushed = c.changes
	}
	return c, nil
}

// Assign notes that leaderEpoch begins at startOffset and reports whether that changed the cache. Entries that would
// break the order are removed first, whichever side they err on. A negative epoch or offset is no epoch: nothing changes.
// The caller flushes before a recovery point may pass startOffset.
func (c *Cache) Assign(leaderEpoch int32, startOffset int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.assignLocked(Entry{LeaderEpoch: leaderEpoch, StartOffset: startOffset})
}

func (c *Cache) assignLocked(e Entry) bool {
	if e.LeaderEpoch < 0 || e.StartOffset < 0 {
		return false
	}
	if n := len(c.entries); n > 0 {
		last := c.entries[n-1]
		if e.LeaderEpoch == last.LeaderEpoch && e.StartOffset >= last.StartOffset {
			return false
		}
	}
	n := len(c.entries)
	for n > 0 && (c.entries[n-1].LeaderEpoch >= e.LeaderEpoch || c.entries[n-1].StartOffset >= e.StartOffset) {
		n--
	}
	c.entries = append(c.entries[:n], e)
	c.changes++
	return true
}

// Latest returns the newest leader epoch.
func (c *Cache) Latest() (leaderEpoch int32, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.entries) == 0 {
		return UndefinedEpoch, false
	}
	return c.entries[len(c.entries)-1].LeaderEpoch, true
}

// LatestEntry returns the newest entry.
func (c *Cache) LatestEntry() (Entry, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.entries) == 0 {
		return Entry{}, false
	}
	return c.entries[len(c.entries)-1], true
}

// EarliestEntry returns the oldest entry.
func (c *Cache) EarliestEntry() (Entry, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.entries) == 0 {
		return Entry{}, false
	}
	return c.entries[0], true
}

// Entries returns a copy of all entries in order.
func (c *Cache) Entries() []Entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.entries)
}

// EndOffsetFor answers where the requested leader epoch ended, as OffsetForLeaderEpoch asks:
//
//	Case A: undefined epoch                    → undefined
//	Case B: the latest epoch                   → it ends at the log's end
//	Case C: above the latest, or empty cache   → undefined
//	Case D: below the first known epoch        → the requested epoch, ending where the first known one begins
//	Case E: otherwise                          → the largest known epoch <= requested, ending where the next begins
func (c *Cache) EndOffsetFor(requested int32, logEndOffset int64) (leaderEpoch int32, endOffset int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if requested == UndefinedEpoch {
		return UndefinedEpoch, UndefinedOffset
	}
	n := len(c.entries)
	if n > 0 && c.entries[n-1].LeaderEpoch == requested {
		return requested, logEndOffset
	}
	higher := sort.Search(n, func(i int) bool { return c.entries[i].LeaderEpoch > requested })
	switch {
	case higher == n:
		return UndefinedEpoch, UndefinedOffset
	case higher == 0:
		return requested, c.entries[0].StartOffset
	default:
		return c.entries[higher-1].LeaderEpoch, c.entries[higher].StartOffset
	}
}

// EpochForOffset returns the leader epoch that offset belongs to; an offset before the first entry has none.
func (c *Cache) EpochForOffset(offset int64) (leaderEpoch int32, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	after := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].StartOffset > offset })
	if after == 0 {
		return UndefinedEpoch, false
	}
	return c.entries[after-1].LeaderEpoch, true
}

// PreviousEpoch returns the largest known leader epoch below the given one.
func (c *Cache) PreviousEpoch(leaderEpoch int32) (previous int32, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].LeaderEpoch >= leaderEpoch })
	if i == 0 {
		return UndefinedEpoch, false
	}
	return c.entries[i-1].LeaderEpoch, true
}

// TruncateFromEnd removes the entries that begin at endOffset or after and reports whether there were any. A negative
// offset removes nothing.
func (c *Cache) TruncateFromEnd(endOffset int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.entries)
	for endOffset >= 0 && n > 0 && c.entries[n-1].StartOffset >= endOffset {
		n--
	}
	if n == len(c.entries) {
		return false
	}
	c.entries = c.entries[:n]
	c.changes++
	return true
}

// TruncateFromStart removes what lies before startOffset: the last entry that begins at or before it stays and now
// begins there. It reports whether anything changed.
func (c *Cache) TruncateFromStart(startOffset int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	after := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].StartOffset > startOffset })
	if after == 0 || (after == 1 && c.entries[0].StartOffset == startOffset) {
		return false
	}
	c.entries = slices.Delete(c.entries, 0, after-1)
	c.entries[0].StartOffset = startOffset
	c.changes++
	return true
}

// Clear removes all entries.
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) > 0 {
		c.entries = nil
		c.changes++
	}
}

// SetPath says where Flush writes from now on, after the partition's folder was renamed.
func (c *Cache) SetPath(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.path = path
}

// Flush makes the entries durable if they changed since the last Flush. After an error the next Flush writes again;
// whether the directory is still to be trusted is the caller's to decide.
func (c *Cache) Flush() error {
	c.flushMu.Lock()
	defer c.flushMu.Unlock()
	c.mu.RLock()
	if c.changes == c.flushed {
		c.mu.RUnlock()
		return nil
	}
	changes, path, entries := c.changes, c.path, slices.Clone(c.entries)
	c.mu.RUnlock()
	if err := checkpoint.WriteEpochs(c.fs, path, entries); err != nil {
		return err
	}
	c.flushed = changes
	return nil
}
