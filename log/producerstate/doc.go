// Package producerstate keeps what one partition knows of its idempotent and transactional producers: the last five
// batches of each producer id, and which transactions are open. It makes retries harmless and bounds what
// read_committed consumers may see (KIP-98, KIP-360, KIP-890).
//
// It owns the partition's *.snapshot files. A Manager has no lock: its owner, the partition's log, calls it under the
// log's mutex, and holds off every other call between Begin and Commit or Discard. Semantics are those of Kafka's
// ProducerStateManager, ProducerAppendInfo and ProducerStateEntry.
//
// Life: Open lists the snapshots; TruncateAndReload loads the newest valid one; the log replays its tail through updates
// of OriginReplication; then each append is Begin, FindDuplicate and Append for each batch, Commit after the write.
// TakeSnapshot at each roll and at a clean close. No Close.
//
// Invariants:
//
//  1. The state is that of all batches below MapEndOffset and of none above, except what expired or was forgotten for
//     space, and except that batches older than a loaded snapshot are known only through Backfill.
//  2. Of a producer at most WindowBatches are kept, all of its newest producer epoch, in offset order.
//  3. A producer's epoch never falls, except through OriginReplication, which takes the log as it is.
//  4. Two open transactions never have the same first offset, and a producer has at most one open.
//  5. A producer with an open transaction is neither expired nor forgotten.
//  6. Memory is bounded: at most MaxProducers entries of under 200 bytes, invariant 5 aside.
//
// A snapshot is named after the offset it describes (MapEndOffset), %020d.snapshot, and holds, big-endian:
//
//	int16 version 1 | uint32 CRC-32C of all that follows | int32 count | count entries of 46 bytes:
//	int64 producer id | int16 producer epoch | int32 last sequence | int64 last offset | int32 offset delta |
//	int64 timestamp | int32 coordinator epoch | int64 first offset of the open transaction or -1
//
// Only the last batch of each producer is in it. A snapshot that does not check out is removed and the one before it
// is tried, so a torn or missing snapshot costs a longer replay and nothing else.
//
// Errors of Append carry an errcode.Kind (OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE,
// TRANSACTION_COORDINATOR_FENCED); all others are I/O errors of the folder.
package producerstate
