// Package placement decides which brokers hold the replicas of new partitions; a pure function.
package placement
