// Package fsm applies the metadata log to the image.
//
// It owns the current image of a node: [FSM] is raft's finite state machine, the only writer. Raft calls Apply, ApplyBatch,
// Snapshot and Restore from one goroutine; Image and Subscribe may be called from any.
//
// Invariants:
//  1. Applying is deterministic: every node that applied the same commands has an equal image. A command that does not fit
//     the image is void on every node and its proposer is told so.
//  2. Bytes that this program cannot read stop the node (the fatal hook) instead of being skipped.
//  3. When a proposal returns, the image of this node includes it and every publisher has been told.
//  4. Snapshot only copies a pointer: it never blocks applying.
//
// A snapshot:
//
//	magic "dmqimage" · format:1 · version, revision, features epoch: varint · record* · end:0 · crc32c:4 (big endian, of all before)
//
// with records as package metadata writes them (a type is never 0).
package fsm
