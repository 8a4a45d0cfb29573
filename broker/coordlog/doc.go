// Package coordlog runs coordinators: state that lives in memory and whose truth is one partition of an internal topic.
//
// A shard is one such partition while this broker leads it, in one leader epoch: its records, replayed into a Machine, and a
// loop, on which one thing happens at a time. An operation becomes records, which are applied and appended; its answer leaves
// when they are committed. So whoever was answered is never contradicted by the next leader.
//
// It owns the set of shards and their timers. The machines belong to group and txn. Handlers call Submit from connection
// goroutines; the metadata log calls Publish on its apply goroutine.
//
// Life: New → Publish … → Resign → Close. A shard: leadership begins → loading (operations wait for a moment, then they are
// refused with COORDINATOR_LOAD_IN_PROGRESS) → active → leadership ends, or an append fails. Then everything that waits is answered with an
// error that clients repeat, the machine is thrown away, and, where this broker still leads, built anew from the log. While
// the log cannot be read, operations are refused with NOT_COORDINATOR.
//
// Goroutines: one for each shard, which loads, writes and runs the timers; a few for background work. Operations run on the
// goroutine that submits them: whoever holds the shard's lock is "on the loop". An operation that appends while nothing else is
// on its way writes its batch itself; while something is, records collect in one batch, which the shard's goroutine writes.
//
// Bounds: an operation is refused with COORDINATOR_LOAD_IN_PROGRESS while more than 32 MiB of records wait for their
// commit. What is posted by other parts of the broker is counted too: a shard that is too far behind is loaded anew.
//
// Invariants
//
//  1. One goroutine at a time runs a machine.
//  2. A machine has applied exactly the records of its partition, in order, up to what the shard has appended.
//  3. No answer leaves before every record that the shard had appended when the answer was given is committed.
//  4. A shard that has not replayed to the log end offset at its election, and seen that committed, answers nothing but that it is
//     loading: an empty result is never a shard that has not looked.
//  5. Every operation is answered exactly once, or its caller's context ends.
//  6. Records of one Effects.Append are in one batch: in the log all or none.
//
// Invariant 4 is stricter than Kafka, which serves what is below the high watermark at once. But a new leader's high watermark may
// lag behind what its predecessor acknowledged, so that an offset that was committed would be missing from the answer; and what lies
// above it may yet be given up, so that it must not be served either. While fewer than min.insync.replicas are in sync a shard
// that was elected with such a lag loads for as long. Nothing could be committed meanwhile, and clients go on asking.
package coordlog
