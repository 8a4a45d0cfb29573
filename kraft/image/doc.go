// Package image holds the cluster's metadata as immutable values.
//
// It owns the types every reader of metadata works with: [Image] (the whole state at one position of the metadata log),
// [Delta] (what a batch of commands changed) and [Builder] (the only code that turns metadata records into a new Image).
//
// Topics are in tables ([Table]) whose next version shares all but what changed, so that a change among 100,000 topics costs no
// more than one among ten.
//
// An Image and everything reachable from it is never written to after it was published; readers on any goroutine may keep
// it as long as they like. Builders belong to one goroutine.
//
// Invariants:
//  1. The same records in the same order give equal images (no clock, no randomness, no map order in a result).
//  2. Topics and TopicNames always describe the same set of topics.
//  3. A command is applied whole or not at all.
package image
