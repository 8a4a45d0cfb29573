package purgatory

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Operation is what waits.
type Operation interface {
	// Try reports whether the operation can be completed now. It must be quick: it runs on the goroutine of whoever
	// caused the event, an append for instance.
	Try() bool
	// Complete is called exactly once and ends the wait. It must be quick too, and must not call Close.
	Complete(o Outcome)
}

// Outcome is why a wait ended.
type Outcome uint8

// The outcomes.
const (
	Satisfied Outcome = iota // Try returned true
	Expired                  // the deadline passed
	Cancelled                // Wait.Cancel was called
	Rejected                 // the purgatory was full
	Closed                   // the purgatory was closed
)

// String returns the outcome's name in lower case.
func (o Outcome) String() string {
	return [...]string{"satisfied", "expired", "cancelled", "rejected", "closed"}[o]
}

// DefaultLimit is the number of waits a purgatory holds unless told otherwise.
const DefaultLimit = 100_000

// Options configure a Purgatory.
type Options struct {
	Limit int // most waits at a time; 0: DefaultLimit
}

// Purgatory holds waits under keys of type K: protocol.TopicPartition for most.
//
// The keys are spread over shards, each a map from key to a doubly linked list of the waits under it, so that a
// completed wait is unlinked without a search. Deadlines are in one heap.
type Purgatory[K comparable] struct {
	limit   int64
	seed    maphash.Seed
	shards  [shardCount]shard[K]
	timer   timer[K]
	count   atomic.Int64 // waits not completed yet
	watched atomic.Int64 // links in the shards
	closing atomic.Bool
	drained chan struct{} // gets a value when the last wait of a closing purgatory is completed
}

const shardCount = 32

type shard[K comparable] struct {
	mu    sync.Mutex    // guards the lists and their links
	lists map[K]list[K] // none is empty
	_     [40]byte      // a cache line each
}

type list[K comparable] struct{ head, tail *link[K] }

// link is a wait's place under one key.
type link[K comparable] struct {
	wait       *Wait[K]
	shard      *shard[K]
	key        K
	prev, next *link[K]
}

// New starts a purgatory.
func New[K comparable](o Options) *Purgatory[K] {
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	p := &Purgatory[K]{limit: int64(o.Limit), seed: maphash.MakeSeed(), drained: make(chan struct{}, 1)}
	for i := range p.shards {
		p.shards[i].lists = make(map[K]list[K])
	}
	p.timer.start()
	return p
}

// Watch holds op under keys until a Notify of one of them lets Try succeed or the deadline passes; a zero deadline never
// does. Try is called once after op is in place, so that an event between the caller's last look and Watch is not lost.
// Watch returns nil if op is completed when it returns.
func (p *Purgatory[K]) Watch(op Operation, deadline time.Time, keys ...K) *Wait[K] {
	if p.count.Add(1) > p.limit {
		p.leave()
		op.Complete(Rejected)
		return nil
	}
	w := &Wait[K]{purgatory: p, op: op}
	w.state.Store(trying)
	w.links = w.room[:]
	if len(keys) != len(w.room) {
		w.links = make([]link[K], len(keys))
	}
	for i, key := range keys {
		p.link(&w.links[i], w, key)
	}
	switch {
	case !p.timer.add(w, deadline):
		w.finish(Closed)
		return nil
	case w.run(again):
		return nil
	}
	return w
}

// Notify has every wait under key try again; it returns how many it completed.
func (p *Purgatory[K]) Notify(key K) int {
	var room [8]*Wait[K] // no more: it runs at the top of small stacks
	waits := room[:0]
	s := p.shard(key)
	s.mu.Lock()
	for ln := s.lists[key].head; ln != nil; ln = ln.next {
		waits = append(waits, ln.wait)
	}
	s.mu.Unlock()
	n := 0
	for _, w := range waits {
		if w.post(again) {
			n++
		}
	}
	return n
}

// Len is the number of waits.
func (p *Purgatory[K]) Len() int { return int(p.count.Load()) }

// Watched is the number of keys the waits are held under, counted once for each wait.
func (p *Purgatory[K]) Watched() int { return int(p.watched.Load()) }

// Close completes every wait as Closed and returns when no method of an operation runs any more. Later calls of Watch
// complete their operation as Closed.
func (p *Purgatory[K]) Close() {
	p.closing.Store(true)
	for _, w := range p.timer.stop() {
		w.post(shut)
	}
	for p.count.Load() > 0 {
		<-p.drained
	}
}

// leave counts a wait out.
func (p *Purgatory[K]) leave() {
	if p.count.Add(-1) == 0 && p.closing.Load() {
		select {
		case p.drained <- struct{}{}:
		default:
		}
	}
}

func (p *Purgatory[K]) shard(key K) *shard[K] {
	return &p.shards[maphash.Comparable(p.seed, key)%shardCount]
}

func (p *Purgatory[K]) link(ln *link[K], w *Wait[K], key K) {
	ln.wait, ln.key, ln.shard = w, key, p.shard(key)
	s := ln.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lists[key]
	if l.tail == nil {
		l.head = ln
	} else {
		l.tail.next, ln.prev = ln, l.tail
	}
	l.tail = ln
	s.lists[key] = l
	p.watched.Add(1)
}

func (p *Purgatory[K]) unlink(ln *link[K]) {
	s := ln.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lists[ln.key]
	if ln.prev != nil {
		ln.prev.next = ln.next
	} else {
		l.head = ln.next
	}
	if ln.next != nil {
		ln.next.prev = ln.prev
	} else {
		l.tail = ln.prev
	}
	if l.head == nil {
		delete(s.lists, ln.key)
	} else {
		s.lists[ln.key] = l
	}
	ln.prev, ln.next = nil, nil
	p.watched.Add(-1)
}
