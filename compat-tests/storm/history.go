package storm

import (
	"sync"
	"time"
)

// Kind says what an event is.
type Kind uint8

// The kinds. An event of what a member does is noted before it does it, one of what it is told after it was told.
const (
	Owned      Kind = iota // Member was given Partition in Epoch; nobody else is until Until, unless it gives it up
	Beat                   // Member reported: it keeps what it has until Until
	Released               // Member gives Partition up, and is about to say so
	Gone                   // Member leaves, or its connections are cut: it holds nothing any more
	Read                   // Member read the records of Partition from Offset up to End
	CommitSent             // Member is about to commit Offset for Partition
	CommitOK               // the broker took that commit
	FetchSent              // Member is about to ask for the committed offset of Partition; Op tells the answer
	FetchOK                // the answer: Offset, -1 for none
)

// Event is one thing that happened.
type Event struct {
	At        time.Duration
	Group     string
	Member    string
	Kind      Kind
	Partition int32
	Epoch     int32 // generation or member epoch
	Offset    int64
	End       int64
	Op        int64
	Until     time.Duration
}

// History is everything that happened, in order.
type History struct {
	began time.Time

	mu     sync.Mutex // guards the fields below
	events []Event
	ops    int64
}

// NewHistory returns a history that begins now.
func NewHistory() *History { return &History{began: time.Now()} }

// now is the time of the history.
func (h *History) now() time.Duration { return time.Since(h.began) }

// Add notes an event.
func (h *History) Add(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.At = h.now() // under the lock, so that times rise
	h.events = append(h.events, e)
}

// op returns a number of its own for a question.
func (h *History) op() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops++
	return h.ops
}

// Events is what happened so far.
func (h *History) Events() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events[:len(h.events):len(h.events)]
}
