package listener

import (
	"sync"
	"time"
)

// Pending is a promise of a response.
type Pending struct {
	pipelined bool
	abandon   func()

	mu       sync.Mutex // guards the fields below
	done     bool
	response Response
	request  *Request // set when the connection begins to wait
}

// NewPending returns a promise to be returned from Serve. pipelined lets the connection's next request be read and run
// before it is kept, which only a Produce that has been appended may ask for.
func NewPending(pipelined bool) *Pending { return &Pending{pipelined: pipelined} }

// OnAbandon has fn called, at most once, when the connection ends before Complete. Set it before Serve returns. Complete
// must still be called, for which fn may be the occasion: it is what frees the request.
func (p *Pending) OnAbandon(fn func()) { p.abandon = fn }

// Complete keeps the promise with any response but a Pending. It never blocks on the connection, and may be called
// before Serve returns. Only the first call counts.
func (p *Pending) Complete(r Response) {
	p.mu.Lock()
	if p.done {
		p.mu.Unlock()
		discard(r)
		return
	}
	p.done, p.response = true, r
	req := p.request
	p.mu.Unlock()
	if req == nil {
		return // attach finds it
	}
	if req.conn.server.o.Observer != nil {
		req.kept = time.Now()
	}
	req.conn.completed(req, r)
}

// attach makes Complete tell the connection, unless the promise has been kept: then it returns the response.
func (p *Pending) attach(r *Request) (Response, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return p.response, true
	}
	p.request = r
	return nil, false
}
