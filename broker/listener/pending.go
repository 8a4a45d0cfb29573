package listener

// Pending is a promise of a response.
type Pending struct{ pipelined bool }

// NewPending returns a promise to be returned from Serve. pipelined lets the connection's next request be read and run
// before it is kept, which only a Produce that has been appended may ask for.
func NewPending(pipelined bool) *Pending { return &Pending{pipelined: pipelined} }

// OnAbandon has fn called, once, when the connection ends before Complete. Set it before Serve returns. Complete must
// still be called: it is what frees the request.
func (p *Pending) OnAbandon(fn func()) { panic("not built yet") }

// Complete keeps the promise with any response but a Pending. It never blocks on the connection and may be called
// before Serve returns. Only the first call counts.
func (p *Pending) Complete(r Response) { panic("not built yet") }
