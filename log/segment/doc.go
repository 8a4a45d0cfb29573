// Package segment is one .log file of a partition with its offset, time and transaction index.
//
// It owns those four files, named after the first offset the segment may hold. A [Segment] is made by [Create], [Open], or
// [New], which leaves the files for later, and belongs to one log. Append, BecomeInactive, Truncate, Recover and Close are called under the log's append lock;
// Find, FindTimestamp, AbortedTxns and the getters from any goroutine meanwhile. [Files] bounds how many .log files are open in a
// process; index files are open only while they are read or written.
//
// Invariants:
//
//  1. Bytes below Size are whole batches and do not change, except through Truncate.
//  2. Size and NextOffset only grow, NextOffset first: who reads Size and then NextOffset sees an offset that covers the
//     bytes.
//  3. Index files hold exactly their entries: no zeros are allocated ahead as Kafka does for its memory maps, so that
//     Kafka's tools and Kafka itself read them at any time. The newest entries may still be only in memory.
//  4. An index is a hint. What it leads to is checked against the batch found there, and an index that misleads is built
//     anew from the log.
//  5. A file with unsynced writes is never closed to save descriptors: the kernel could then report a failed write-back
//     to nobody.
//
// Formats, big-endian, as Kafka's:
//
//	%020d.log        record batches back to back
//	%020d.index      int32 last offset of a batch - base offset | int32 position of the batch
//	%020d.timeindex  int64 largest timestamp so far | int32 last offset of the batch that has it - base offset
//	%020d.txnindex   int16 version 0 | int64 producer id | int64 first | int64 last offset | int64 last stable offset
//
// The offset index gets an entry for the first batch after index.interval.bytes of others, the time index then too, if
// the timestamp has grown; it also gets one when the segment is rolled or closed. The transaction index has an entry for
// each aborted transaction whose marker is in the segment.
//
// Errors: those of the filesystem, and *CorruptError.
package segment
