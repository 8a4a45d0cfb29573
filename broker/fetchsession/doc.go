// Package fetchsession is the cache of incremental fetch sessions (KIP-227): it remembers what a consumer or follower
// fetches, so that a fetch names only what changed and an answer holds only what is new.
//
// It owns the sessions. handler.Fetch calls Cache.Open at the start of a request and Context.Finish at its end; any
// goroutine may. The cache has no goroutines and needs no Close.
//
// Invariants
//
//  1. There are at most Options.Slots sessions with Options.Partitions partitions in all. A session that does not fit
//     is not created: the answer's session id 0 makes the client send full fetches.
//  2. A session lives until it is closed by its client, evicted for a more valuable one (see Cache.evict), or empty.
//  3. A session's epoch moves with each request of it; a request with another epoch changes nothing.
//  4. What was answered before counts as known only within a leader epoch of the partition.
//
// Locks: session.mu before Cache.mu. What Cache needs of a session for eviction is guarded by Cache.mu.
package fetchsession
