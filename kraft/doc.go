// Package kraft runs the node's member of the metadata quorum.
//
// [Quorum] owns the raft node and, through it, the only way to change metadata: [Quorum.Propose]. Reading is [Quorum.Image],
// which every node answers from memory. Publishers are told of each new image on the apply goroutine. All methods are safe
// from any goroutine.
//
// Members talk over package raftnet. raft's configuration is the record of who they are: a server's id is the node id, its
// address the id of the directory that holds its log, and where it listens. bootstrap.go says who may begin a quorum, join.go how
// a node becomes a member, members.go how voters change, failover.go and coldstart.go how a leader is found sooner than raft's
// timers would.
//
// Life: Open → … → Close. Open starts a quorum of one and has it lead, with its log applied, before it returns; a member
// of a larger quorum returns at once and follows. CatchUp returns when a member knows what the quorum has committed. Close is
// like a crash; who stops in order calls Transfer before.
//
// Invariants:
//  1. When Propose returns without error the command is durable on a majority, applied here and published here.
//  2. Image().Version is the position of the last command applied, and never falls.
//  3. A conditional proposal is applied only if no other command came between.
//  4. A voter with another directory than the quorum knows is refused: it neither votes nor counts until it was removed and
//     added again.
//  5. Close joins every goroutine it started.
//
// Errors carry their Kafka kind: *NotLeaderError (NOT_CONTROLLER: nothing happened), *OutcomeUnknownError (REQUEST_TIMED_OUT:
// leadership was lost before the commit was known), image.ErrStaleRevision and *image.RejectedError.
//
// Goroutines: raft's own (main, apply, snapshots, two to four per peer), one that forwards raft's incoming calls, one that takes
// snapshots, one that tends membership where there is a network, and one for each Propose, Barrier or VerifyLeader under way.
package kraft
