// Package raftstore keeps the metadata quorum's raft log, term, vote and snapshots.
package raftstore
