// Package replication measures what replicated, acknowledged records cost a cluster: the same for dmq and for Apache Kafka.
//
// A Bench loads one cluster that runs, owned by its caller, with one idempotent client that waits for all in-sync replicas. Each
// round works on a topic of its own, which it deletes. What was not acknowledged or not consumed to the last record is an error, never
// a figure.
package replication
