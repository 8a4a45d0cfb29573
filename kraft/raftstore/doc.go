// Package raftstore keeps what raft must not forget: the log, the term and vote, and snapshots.
//
// It owns one directory (or, for tests and simulation, one [Disk] in memory). [Store] implements raft's LogStore,
// StableStore and MonotonicLogStore and hands out a SnapshotStore; it may be used from any goroutine. Life: [Open] (pebble)
// or [Disk.Open] → … → Close. Everything but the file pebble.go builds without pebble.
//
// Keys and values; integers are big endian:
//
//	'f'                     format:1
//	'l' index:8             crc32c:4 | format:1 term:8 type:1 appended:8 (ns) extensions:uvarint+bytes data
//	'k' name                crc32c:4 | value                      (raft's stable values; CurrentTerm and what else it stores)
//	'v'                     crc32c:4 | format:1 term:8 candidate  (the vote)
//	'm' term:8 index:8 seq:8   crc32c:4 | JSON of snapshotMeta    (a complete snapshot)
//	'x' term:8 index:8 seq:8   as 'm'                             (a snapshot found damaged, kept for a person to look at)
//	'd' term:8 index:8 seq:8 chunk:4   the snapshot's bytes
//
// Invariants:
//  1. A write returns after it was synced; one StoreLogs call is one synced, atomic write.
//  2. CurrentTerm is synced at once. LastVoteTerm is held back and written together with LastVoteCand as one checksummed
//     record: raft writes them one after the other, and a crash in between would leave the new term with the old candidate,
//     to whom raft then grants its vote again without looking at its log. A crash before the record means that no vote was
//     given, which is the truth: raft answers only after the second write.
//  3. After the first failed write the store is dead: the fatal hook is called once and every later call fails. A failed
//     sync is never tried again.
//  4. The log has no gaps. It always reaches back to the older of the two snapshots kept, so that a damaged newest
//     snapshot loses nothing.
//  5. A damaged snapshot or log entry is reported, never deleted and never taken for a missing one.
//
// A missing stable key is an error whose text is exactly "not found": raft compares the text.
package raftstore
