// Package failover measures how long a cluster of three nodes is gone when one of them dies, starts or is restarted, as a
// client sees it: the same for dmq and for Apache Kafka.
//
// A Bench owns one cluster of its own on loopback. Each measurement leaves the cluster whole: killed nodes are started again
// and every replica is in sync before the next one begins. What cannot be measured is an error, never a figure.
package failover
