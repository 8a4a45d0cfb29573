// Package epoch keeps the leader-epoch cache of one partition: at which offset each leader's time began.
//
// It owns the partition's leader-epoch-checkpoint file. Followers and consumers find out with it where their log and
// the leader's part (KIP-101, KIP-279, KIP-320). The semantics are those of Kafka's LeaderEpochFileCache.
//
// A Cache is safe from any goroutine. Life: Open, then Assign and truncate, Flush after each, no Close.
//
// Invariants:
//
//  1. Leader epochs and start offsets of the entries both rise strictly.
//  2. An entry never names an epoch below 0 or an offset below 0.
//  3. The file holds the entries of some past moment. Because entries that a truncation removed may come back after a
//     crash, the log truncates the cache to its own start and end when it opens.
//
// The file:
//
//	0                 version
//	2                 count of entries
//	0 0               leader epoch, start offset
//	7 4211
package epoch
