// Package assignor decides which member of a consumer group gets which partition: the server-side assignors of KIP-848.
//
// They are pure functions from a Spec to an assignment for each of its members. They own no state, may run on any
// goroutine, and are called by package group.
//
// Invariants of every assignor
//
//  1. Each partition of each topic that has a subscriber is assigned to exactly one member, which is subscribed to the topic.
//  2. The result depends on the Spec alone.
//  3. The time taken is bounded by a small multiple of the partitions, members and subscriptions.
//
// Range equals Kafka's partition by partition. Uniform takes the same decisions as Kafka's, but where Kafka's depend on the
// order of a hash map, members and topics come in the order of their ids.
package assignor
