package raftstore

import hraft "github.com/hashicorp/raft"

// Store is a raft LogStore, StableStore and SnapshotStore in one. *Pebble and *Mem are its implementations.
type Store interface {
	hraft.LogStore
	hraft.StableStore
	Snapshots() hraft.SnapshotStore
	Close() error
}

// Mem is a Store in memory.
type Mem struct{ Store }

// Memory returns an empty Store in memory.
func Memory() *Mem { panic("skeleton") }
