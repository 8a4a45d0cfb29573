// Package coordlog runs coordinators: state that lives in memory and whose truth is one partition of an internal topic.
//
// A shard is one such partition while this broker leads it: its records, replayed into a Machine, and one loop that is
// the only goroutine to touch the machine. An operation becomes records, which are applied and appended; its answer leaves
// when they are committed. So whoever was answered is never contradicted by the next leader.
//
// It owns the set of active shards and their timers. The machines belong to group and txn. Handlers call Call from
// connection goroutines; the metadata log calls Publish on its apply goroutine.
//
// Life: New → Publish … → Close. A shard: leadership begins → loading (operations are refused with
// COORDINATOR_LOAD_IN_PROGRESS) → active → leadership ends, or an append fails (everything that waits is answered with
// NOT_COORDINATOR, the machine is thrown away, and built anew from the log where this broker still leads).
//
// Invariants
//
//  1. One goroutine at a time runs a machine.
//  2. A machine has applied exactly the records of its partition, in order, up to what the shard has appended.
//  3. No answer leaves before every record that the shard had appended when the answer was given is committed.
//  4. A shard that has not replayed to the log end offset at its election answers nothing but
//     COORDINATOR_LOAD_IN_PROGRESS: an empty result is never a shard that has not looked.
//  5. Every operation is answered exactly once, or its caller's context ends.
package coordlog
