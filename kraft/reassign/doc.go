// Package reassign plans which replicas move to which brokers: it spreads replicas over racks and brokers and leadership
// over brokers, and moves as few replicas as that takes.
//
// It owns nothing and does nothing: [Plan] is a pure function of its arguments, so a plan can be shown, kept, and made
// again. Whoever wants it done sends it to the controller as AlterPartitionReassignments. It may be called from any
// goroutine.
//
// What a plan holds to, the first above the next:
//
//  1. Every partition has as many replicas as asked for, on different brokers, all of them allowed.
//  2. No partition is spread over racks worse than it was, and it is spread as well as the brokers allow.
//  3. Each broker has its share of all replicas, rounded up or down, and every replica that moves goes from a broker with too
//     many to one with too few: no smaller number of moves gets there. (Replicas that have to leave a broker are placed one
//     partition after the other, which now and then costs a move more.) Where the racks forbid equal shares, as near as
//     moving single replicas comes.
//  4. Each broker is the first replica, and so the preferred leader, of its share of the partitions, as far as the replicas
//     allow. That only changes the order of replicas, and copies nothing.
//
// Of replicas that could equally move, those of a topic that the broker has the most of go first, then the smallest.
package reassign
