// Package fetcher is the follower's half of replication: it fetches the partitions that this broker follows from their
// leaders and keeps their logs as the leaders' are.
//
// It owns where each partition is fetched from and what goes wrong with that; the logs are replica's, which fences whatever
// is done to them by leader epoch. The broker makes one Fetcher and subscribes it to the metadata after replica.Manager, so
// that a role is known before anything is fetched in it.
//
// For each leader there are Config.Fetchers loops, each a goroutine with a connection and a fetch session (KIP-227) of its
// own. A round of a loop is: fetch, append what came, wait until all of it is synced, take over high watermarks and log start
// offsets, fetch again. In durable mode a fetch offset is therefore what this replica has synced, which is what the leader
// takes it for. The logs of a round are synced in parallel, and a session says only what has changed: a round costs what
// has come, not what is followed.
//
// Life: New → Publish … → Close, which joins every goroutine. Publish does no I/O: logs are opened by a bounded number of
// goroutines that exist while there is work, and a partition joins its loop when its log is open. A loop ends with its last
// partition.
//
// Invariants
//
//  1. Nothing is appended in a leader epoch but what the leader of that epoch sent, at the log end, CRC checked.
//  2. A log is truncated where the leader's leader epochs say that it parts from its own, and nowhere else; never
//     below its high watermark, which it forgets when an unclean election came after all that it knows. A partition that would
//     have to be is left alone and reported.
//  3. What is wrong with one partition does not stop the others: it is tried again later, up to Config.Backoff apart, or, where
//     that would not help, when the metadata change.
//
// Lock order: Fetcher.mu → loop.mu; neither is held during I/O.
package fetcher
