// Package placement decides which brokers hold the replicas of new partitions. It is a pure function: no state, no clock, no
// randomness, so that a test, a simulation and an operator can foretell what the controller will do.
//
// The rule. Brokers stand in a ring: by id, with racks taking turns where brokers have racks. Each partition in turn starts at
// the unfenced broker that leads the fewest partitions (the lowest id among equals), which becomes its leader, and goes
// on around the ring: first to brokers of racks that the partition does not use yet, unfenced ones before fenced ones. On an
// empty cluster three partitions with two replicas each on brokers 101 and 102 are led by 101, 102, 101.
package placement
