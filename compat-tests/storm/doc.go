// Package storm lets consumer groups weather hundreds of members that come and go while the broker is killed, and checks what
// became of their records and offsets.
//
// A run has three groups on one topic: classic with the range assignor, classic with cooperative-sticky, and the consumer
// protocol. Their members join, read, commit, and leave politely or crash: a crashed member's connections are cut and it says
// nothing more. Meanwhile a producer writes, samplers read the committed offsets, and the broker is killed with SIGKILL and
// restarted. Then the storm ends, and a few steady members per group have to read the rest.
//
// Everything that happens is noted in a History, whose moments come from one counter: an action has a moment before it was asked
// for and one after it was answered. Check is a pure function of the history. What it demands:
//
//  1. Every acknowledged record was read by every group, with the value that was acknowledged, and no offset was skipped.
//  2. A committed offset is explained by a commit that was not overwritten before: none goes back, none goes missing (I18). A commit
//     without an answer, or with an error, may count or not, until the broker's next restart at the latest.
//  3. A member that is behind another member's generation cannot commit in a classic group (I18).
//  4. A partition has one owner per generation or member epoch (I19). That the previous owner was done before the next one began
//     is not judged: a member that was fenced learns of it later.
//  5. After the storm every group reads to the end and commits it, within a deadline that only a hang can miss (I27).
//
// Run starts goroutines and returns when all of them have ended.
package storm
