// Package logdir opens the log directories of a broker and keeps the partition logs in them: which exist, which must be
// recovered, what is checkpointed, what is deleted or set aside, and which directory is dead.
//
// It owns, in each directory: the lock, meta.properties, the clean-shutdown mark, the recovery-point, log-start-offset,
// replication-offset and cleaner-offset checkpoints, and the names of the partitions' folders with their
// partition.metadata. What is inside a folder otherwise belongs to its log (package commitlog). It makes the Cleaner that
// compacts the logs. The broker makes one Manager; replica.Manager and the handlers ask it for logs, from any goroutine.
//
// Life: Identify (nothing is touched), Open, SetClusterID once the cluster is known; then Get, Create, Delete, Quarantine;
// Close. Goroutines: one keeper a directory (checkpoints, free space), one for retention, one that removes deleted
// folders, the cleaner's threads, and RecoveryThreads for each directory that was not stopped cleanly, until all its logs
// are recovered. Close joins them all.
//
// Open lists each directory once and opens no log: Get does, when a partition is first asked for. Create makes no folder: the
// log does for its first record (invariant 7 of package commitlog). Checkpoints do not name it before.
//
// Invariants
//
//  1. A directory is used by one process at a time, and by one cluster and node id for ever.
//  2. The clean-shutdown mark is there only while the directory is exactly as a clean Close left it: Open removes it
//     durably before the first log can be opened, Close writes it last and only if every partition of the directory was
//     closed, or was never opened since the last clean stop.
//  3. A checkpointed recovery point was synced when it was written. Before a log may append below it again (a truncation, a new
//     incarnation of a deleted partition) the checkpoint on disk says so, and so do those of the other offsets.
//  4. A dead directory stays dead until the process ends. The first failed sync, and any I/O error but a full disk, kills
//     it; nothing of it is reported as synced after that, and nothing is appended to it.
//  5. Data are removed only after a committed deletion named them: Delete renames the folder durably to -delete first, and only
//     such folders are ever removed. What the metadata does not know, or has in another directory, is renamed to -stray and
//     kept. Folders with names of no known form are left alone.
//  6. A full disk refuses appends and nothing else. MinFreeBytes are held back, so that deletions, checkpoints and the
//     metadata log, which may share the disk, still find room.
//
// A directory:
//
//	.lock  meta.properties  .kafka_cleanshutdown  *-checkpoint
//	<topic>-<partition>/                            a partition; there may be none where no record was ever written
//	<topic>-<partition>.<32 hex digits>-delete/     deleted, being removed; a long topic name is cut
//	<topic>-<partition>.<32 hex digits>-stray/      set aside
//	<topic>-<partition>.<32 hex digits>-future/     Kafka's copy in another directory, not finished: left alone
//	__cluster_metadata-0/  __dmq_metadata-0/        metadata logs, not ours
//
// Lock order: partition.opMu → Log.mu → dir.checkpointMu → Manager.mu, which is a leaf.
// opMu and checkpointMu are held across I/O: they serialise it for one partition and one directory.
//
// Errors: those about a dead or full directory carry KAFKA_STORAGE_ERROR; *commitlog.CorruptError says that one partition
// cannot be opened and the others can.
package logdir
