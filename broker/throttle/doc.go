// Package throttle measures replication rates and says which replicas they are limited for (Kafka's ReplicationQuotaManager).
//
// A Meter is owned by whoever it limits: the fetcher for what this broker's followers take, the replica manager for what it
// gives followers as a leader. It may be used from any goroutine; time is an argument.
//
// Invariant: a Meter only tells. Whoever asks holds back what it would send or fetch next, never what is on its way.
package throttle
