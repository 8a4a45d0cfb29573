package purgatory

import "time"

// Operation is what waits.
type Operation interface {
	// Try reports whether the operation can be completed now. It must be quick: it runs on the goroutine of whoever
	// caused the event, an append for instance.
	Try() bool
	// Complete is called exactly once and ends the wait.
	Complete(o Outcome)
}

// Outcome is why a wait ended.
type Outcome uint8

// The outcomes.
const (
	Satisfied Outcome = iota // Try returned true
	Expired                  // the deadline passed
	Cancelled                // Wait.Cancel
	Rejected                 // the purgatory is full
	Closed                   // the purgatory is closed
)

// Options configure a Purgatory.
type Options struct {
	Limit int // most waits at a time; 0: 100,000
}

// Purgatory holds waits under keys of type K: protocol.TopicPartition for most.
type Purgatory[K comparable] struct{ o Options }

// New starts a purgatory.
func New[K comparable](o Options) *Purgatory[K] { return &Purgatory[K]{o: o} }

// Watch completes op at once if Try allows it, and otherwise holds it under keys until a Notify of one of them lets Try
// succeed or the deadline passes. It returns nil if op was completed already.
func (p *Purgatory[K]) Watch(op Operation, deadline time.Time, keys ...K) *Wait[K] {
	panic("not built yet")
}

// Notify has every wait under key try again; it returns how many were completed.
func (p *Purgatory[K]) Notify(key K) int { panic("not built yet") }

// Len is the number of waits.
func (p *Purgatory[K]) Len() int { panic("not built yet") }

// Close completes every wait as Closed and returns when no operation's method runs any more. Later calls of Watch
// complete their operation as Closed.
func (p *Purgatory[K]) Close() { panic("not built yet") }

// Wait is one held operation.
type Wait[K comparable] struct{ op Operation }

// Cancel completes the operation as Cancelled unless it has been completed.
func (w *Wait[K]) Cancel() { panic("not built yet") }
