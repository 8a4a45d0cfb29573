// Package replica hosts this broker's partitions: who leads them, what may be appended and read, and up to where.
//
// It owns the set of hosted partitions, their role and their high watermark; the records themselves belong to log and
// the folders to log/logdir. Handlers call Manager from connection goroutines, the metadata log calls Publish on its
// apply goroutine, and the log reports synced offsets and dead directories from its own goroutines.
//
// Life: New → Publish … → Close, which completes every wait and joins every goroutine. A partition's log is opened when
// it is first used; Publish does no I/O.
//
// Goroutines: a fixed number of workers that create and delete folders; the timers of four purgatories; one that keeps the in-sync
// replicas true and one that tells the controller where replicas lie.
//
// Invariants
//
//  1. What a client was told is stored (acks 1 and all) is below the synced end of the log in durable mode.
//  2. Nobody reads an offset at or above the high watermark, and the high watermark never falls, but on a follower that hears of
//     an unclean election (overtaken).
//  3. The high watermark is the least end among the maximal in-sync replicas, and stands still while fewer than
//     min.insync.replicas are in sync; in durable mode a replica's end is what it has synced, else what it has written. A
//     follower tells by what it fetches.
//  4. A request that names a leader epoch is served in that epoch or refused.
//  5. Each wait is answered exactly once.
//
// Lock order: Manager.mu → Partition.mu → Partition.leadMu → alterer.mu, and the log's own.
package replica
