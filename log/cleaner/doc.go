// Package cleaner compacts logs: of each key only the newest record stays (cleanup.policy=compact).
//
// It owns nothing on disk: segments belong to their log (package commitlog), which hands out the right to replace them as a
// Compaction, and the log keeps the offset up to which it was compacted, which log/logdir checkpoints
// (cleaner-offset-checkpoint). A [Cleaner] owns its threads and what they found out; log/logdir makes it, tells it the logs, and
// is its only caller. [Compact] is one pass over one log.
//
// A log is, from its beginning: clean, dirty, uncleanable. A pass
//
//  1. reads the dirty part and notes the newest offset of each key (keyMap), until all is read or the map is full: there the
//     dirty part ends for this pass;
//  2. reads everything from the beginning to there and copies what stays into new segments, one for each group of neighbours
//     that together are no larger than a segment may be;
//  3. replaces each group when its segment is done and durable, and at the end moves the cleaned offset.
//
// Each log that has min.cleanable.dirty.ratio of dirty bytes, or a dirty record older than max.compaction.lag.ms, is due. Threads
// take the dirtiest one. Nothing here holds a lock that appends or reads wait for, except for the moment in which
// Compaction.Replace shows a new segment.
//
// Invariants:
//
//  1. Offsets and order of what stays are what they were. Batches keep their first and last offset, producer and sequence; the
//     batch that a producer's state rests on, and the one below the high watermark, stays as an empty one if need be.
//  2. Nothing at or above the last stable offset, and nothing in the active segment, is touched. So every transaction in reach
//     is decided: what was aborted goes, whatever its keys.
//  3. A tombstone stays until delete.retention.ms have passed since the first pass that removed the older records of its key:
//     the batch is given that time as its delete horizon (attribute bit 6, in place of the base timestamp). So does an
//     end marker since the first pass that found nothing left of its transaction.
//  4. A batch whose CRC is wrong, or that cannot be read, ends the pass: nothing of its group is replaced, the partition is
//     reported, shown in the metrics and left alone. Nothing that cannot be understood is dropped.
//  5. A crash at any moment leaves each group as it was or replaced as a whole. Doing a part again finds the same.
//  6. Memory is bounded: the key map by log.cleaner.dedupe.buffer.size, of which it takes what the keys need, and buffers by the
//     largest batch. All of it is given back when the pass ends.
//
// Semantics follow Kafka's Cleaner, LogCleanerManager and MemoryRecords.filterTo; differences are where they are made
// (filter, keyMap, Cleaner.look, segments that nothing stays of).
//
// Lock order: Cleaner.chooseMu → commitlog's locks; Cleaner.mu is a leaf.
package cleaner
