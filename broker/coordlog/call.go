package coordlog

import "context"

// Submit has op run on the shard of a partition. op gives its answer to reply, now or in a later operation; done is called
// once, on any goroutine and maybe before Submit returns: with that answer when everything the shard had appended by then
// is committed, or with an error whose kind is the one the client is told. done must be quick.
func Submit[M Machine, T any](r *Runtime[M], partition int32, op func(fx Effects, m M, reply func(T)), done func(T, error)) {
	c := &call[M, T]{op: op, done: done}
	s := r.shard(partition)
	if s == nil {
		c.fail(errNotCoordinator)
		return
	}
	c.operation = c
	r.counters.operations.Add(1)
	s.submit(&c.waiter)
}

// Call is Submit for callers that wait. When ctx ends first it returns its cause, and the answer is dropped.
func Call[M Machine, T any](ctx context.Context, r *Runtime[M], partition int32, op func(fx Effects, m M, reply func(T))) (T, error) {
	type outcome struct {
		answer T
		err    error
	}
	done := make(chan outcome, 1)
	Submit(r, partition, op, func(answer T, err error) { done <- outcome{answer, err} })
	select {
	case o := <-done:
		return o.answer, o.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// operation is what a shard knows of a call.
type operation interface {
	run(s *shard) // on the loop
	send()        // the answer, which is committed
	fail(err error)
}

// call is one operation on its way.
type call[M Machine, T any] struct {
	waiter
	op     func(fx Effects, m M, reply func(T))
	done   func(T, error)
	shard  *shard
	answer T
}

func (c *call[M, T]) run(s *shard) {
	c.shard = s
	c.op(s, s.machine.(M), c.reply)
}

// reply is called on the loop. Only the first answer counts, and none after the shard has given one itself.
func (c *call[M, T]) reply(answer T) {
	if c.state != unanswered {
		return
	}
	c.answer = answer
	c.shard.answered(&c.waiter)
}

func (c *call[M, T]) send() { c.done(c.answer, nil) }

func (c *call[M, T]) fail(err error) {
	var none T
	c.done(none, err)
}

// waiter is a call's place among those of its shard that are not over.
type waiter struct {
	operation
	state      waiterState
	prev, next *waiter
}

type waiterState uint8

const (
	unanswered waiterState = iota
	given                  // the answer waits for its commit
	over                   // sent, or failed
)

// waiters is a doubly linked list. root.next is the oldest.
type waiters struct {
	root waiter
	n    int
}

func (l *waiters) push(w *waiter) {
	if l.root.prev == nil {
		l.root.prev, l.root.next = &l.root, &l.root
	}
	w.prev, w.next = l.root.prev, &l.root
	w.prev.next, w.next.prev = w, w
	l.n++
}

func (l *waiters) remove(w *waiter) {
	w.prev.next, w.next.prev = w.next, w.prev
	w.prev, w.next = nil, nil
	l.n--
}

// all calls f for each, which may remove it.
func (l *waiters) all(f func(w *waiter)) {
	for w := l.root.next; w != nil && w != &l.root; {
		next := w.next
		f(w)
		w = next
	}
}
