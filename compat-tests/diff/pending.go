package diff

import (
	"errors"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// heldTimeout ends the wait for an answer that the broker holds back until something happens.
const heldTimeout = 40 * time.Second

// Pending is a request whose answer is still to come: the broker holds it until other members of its group have acted.
type Pending struct {
	s           *Session
	conn        string
	req         kmsg.Request
	correlation int32
	err         error
}

// Begin sends a request on the connection of that name and does not wait for its answer.
func (s *Session) Begin(conn string, req kmsg.Request) *Pending {
	p := &Pending{s: s, conn: conn, req: req}
	p.on(func() {
		p.err = s.send(req.AppendTo(s.header(req.Key(), req.GetVersion(), req.IsFlexible())))
		p.correlation = s.correlate
	})
	return p
}

// on has f use the connection of the request.
func (p *Pending) on(f func()) {
	before := p.s.conn
	p.s.conn = p.conn
	defer func() { p.s.conn = before }()
	f()
}

// Answer waits for the answer.
func (p *Pending) Answer() (resp kmsg.Response, err error) {
	if p.err != nil {
		return nil, p.err
	}
	p.on(func() {
		var payload []byte
		if payload, err = p.s.receiveWithin(heldTimeout); err != nil {
			return
		}
		resp = p.req.ResponseKind()
		err = decode(payload, resp, p.req.GetVersion(), p.correlation)
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Record waits for the answer and records it.
func (p *Pending) Record(step string) kmsg.Response {
	resp, err := p.Answer()
	p.s.recordAnswer(step, resp, err)
	return resp
}

// Held records whether the answer is still held back. A broker that rightly holds it never makes this fail, however slow it is.
func (p *Pending) Held(step string) {
	held := "held"
	p.on(func() {
		c := p.s.dial()
		p.s.must(c.SetReadDeadline(time.Now().Add(30 * time.Millisecond)))
		if _, err := c.r.Peek(1); err == nil {
			held = "answered"
		} else if !errors.Is(err, os.ErrDeadlineExceeded) {
			held = "closed"
		}
	})
	p.s.Note(step, held)
}
