// Package purgatory holds operations that wait for a condition: a Fetch for enough bytes, a Produce for its
// acknowledgement. An operation is completed exactly once, by whoever comes first: the event it waits for, its
// deadline, its owner's cancellation or the end of the purgatory.
//
// It owns the set of waits and one timer goroutine. The broker creates one purgatory for each kind of operation; any
// goroutine may call it. Life: New → Watch, Notify … → Close, which completes what is left and joins the goroutine.
//
// Invariants
//
//  1. Complete is called exactly once for each operation given to Watch, and never before a running Try of it returned.
//  2. Try is never run twice at a time for one operation, and a Notify that comes while it runs makes it run again: no
//     event is lost.
//  3. No lock is held while an operation's methods run. They may call the purgatory.
//  4. A completed wait leaves no trace: it is unlinked from every key at once.
//  5. There are at most Options.Limit waits; beyond, Watch completes the operation as Rejected.
package purgatory
