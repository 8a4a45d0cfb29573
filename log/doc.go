// Package log is one partition's log: records in, offsets out, and back, over crashes. Import it as commitlog.
//
// It owns the partition's folder: its segments (log/segment), the producer snapshots (log/producerstate) and the
// leader-epoch checkpoint (log/epoch). Checkpoints that span partitions are log/logdir's, which also opens the logs.
// replica.Partition is who appends and reads. Every method is safe from any goroutine.
//
// Life: Open recovers what a crash left, and returns a log that is ready; Close makes everything durable; Delete stops a log
// whose folder is to go. One [Syncer], one [TailCache] and one segment.Files serve all logs of a process.
//
// Append: batches are checked outside of any lock. Then the first goroutine that comes writes for those that come while it
// works: it takes the queue, assigns offsets and writes all batches with one system call. It does so under the append
// lock (Log.mu), the only mutex here that is held across I/O; readers never take it. What pipelined requests bring enters
// the queue at once (AppendAllAsLeader): that a write is one more costs as much as 16 KiB in it.
//
// Durability: in durable mode (Config.FlushMessages 1) each write schedules a sync by a worker of the Syncer, which makes
// durable whatever was written when it begins: one sync for many batches. SyncedEndOffset moves when it is done and
// Synced is called. In other modes SyncedEndOffset is the log end offset, and RecoveryPoint tells what is durable.
//
// Invariants
//
//  1. LogStartOffset <= HighWatermark <= LogEndOffset, and each of the three only grows, the log end offset aside
//     when a follower truncates, the high watermark in ForgetHighWatermark, and
//     all where the log begins anew. LastStableOffset <= HighWatermark.
//  2. An offset is given once: the next batch begins at the log end offset, in the segment files as well as in memory.
//     A batch that was acknowledged in durable mode is in a synced file with a synced name.
//  3. Nothing below the high watermark is ever truncated (a panic), only removed as a whole segment from the front.
//  4. Everything below the recovery point is durable: batches, indexes of all segments but the last, leader epochs, and names.
//  5. A failed sync, or a failed write that could not be taken back, ends the log: no call succeeds after it, and the
//     sync is not tried again, since the kernel may have dropped the pages. A full disk only fails the append.
//  6. Bytes that fail their CRC are not served, wherever they lie, except those still in the tail cache, which
//     were checked before they were written.
//  7. A log that never held a record has no folder. Before the first one is written the folder is made, and its name, its
//     partition.metadata and the names in it are durable. A folder without records promises nothing: a crash may leave any
//     part of it.
//
// Recovery after an unclean stop checks every batch from the segment with the recovery point on. What is wrong there is one
// of two things:
//
//	Case A, a torn tail: the first bad batch is at or above max(recovery point, checkpointed high watermark). It and all
//	        behind it was never acknowledged. It is cut off and kept in <offset>.torn, whole segments as <offset>.log.torn.
//	Case B, corruption: the bad batch lies below that, or records are missing there, or valid batches follow it further
//	        behind than maxUnsynced bytes: more than can have been unsynced at once. Open returns a *CorruptError and
//	        touches nothing.
//
// In OS-flush mode the high watermark is no promise that the disk holds anything, and any amount may be unsynced: only the
// recovery point counts.
//
// Lock order: Log.mu → Log.queueMu; Log.mu → Log.sync.mu; tailcache and segment mutexes are leaves.
//
// Errors carry an errcode.Kind: *OffsetOutOfRangeError, *CorruptError, *StorageError, ErrClosed, and those of
// records.Validate and producerstate.
package log
