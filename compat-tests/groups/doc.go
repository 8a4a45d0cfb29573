// Package groups puts consumer groups of every client library through the same life: members in several processes share the
// partitions of a topic, join, leave, are killed (kill -9), come back as static members, get partitions that were added, and
// live through a kill of the broker.
//
// A Host is a process that hosts members (package go/member says what it is told and what it says); Run drives them for each
// Variant (a client, a protocol, an assignor) and keeps books in a ledger:
//
//   - every record is given to a member (none is skipped),
//   - a member that takes a partition over starts at what was committed, or behind it: committed offsets never go back,
//   - no two members hold a partition when the group has settled.
//
// What Apache Kafka cannot pass judges nobody: `compat groups -broker kafka`.
package groups
