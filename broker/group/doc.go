// Package group is the group coordinator: classic groups, consumer groups (KIP-848) and committed offsets.
//
// A State is the groups and offsets of one partition of __consumer_offsets; it is a coordlog.Machine and pure: time,
// metadata and settings come in, records, answers and timers go out, and there is no goroutine, lock or I/O in it. It owns
// its groups, its offsets and their timelines. Coordinator, at the top, is what the handlers call: it finds the shard of a
// group and waits for the answer.
//
// Records are in Kafka's schemas (package schema), so that Kafka's own tools read them and a partition that Kafka wrote
// loads here.
//
// Invariants
//
//  1. What has to survive a fail-over changes through Replay only. A classic group's rebalance in progress is not such: as in
//     Kafka, its members join again.
//  2. A committed offset goes back only when a client commits a lower one.
//  3. A member of an old generation or epoch changes nothing.
//  4. A partition has at most one owner in a group epoch: it is given to its next owner only when the one before has said that
//     it gave it up, or was fenced.
//  5. Offsets expire only while nobody can be using them: the group is empty or dead, or not subscribed to the topic.
package group
