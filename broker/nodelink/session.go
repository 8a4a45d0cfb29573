package nodelink

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
)

const maxResponse = 100 << 20

// session is one connection.
type session struct {
	link     *Link
	nc       net.Conn
	addr     string
	versions map[int16][2]int16 // what the node serves; set before the session is shared
	worked   atomic.Bool        // it has answered a request
	reused   []byte             // of responses; used by readLoop

	writing chan struct{} // holds a token for who writes, so that waiting for it can be given up

	mu      sync.Mutex // guards the fields below
	err     error      // why it has failed
	next    int32
	waiting map[int32]*call
}

// call is a request on its way.
type call struct {
	req  kmsg.Request
	resp kmsg.Response
	err  error
	done chan struct{}
}

func newSession(l *Link, nc net.Conn, addr string) *session {
	return &session{link: l, nc: nc, addr: addr, waiting: make(map[int32]*call), writing: make(chan struct{}, 1)}
}

// learnVersions asks in the one version that every node answers.
func (s *session) learnVersions(ctx context.Context) error {
	req := kmsg.NewPtrApiVersionsRequest()
	got, err := s.call(ctx, req, 0)
	if err != nil {
		return fmt.Errorf("ask for versions: %w", err)
	}
	resp, ok := got.(*kmsg.ApiVersionsResponse)
	if !ok {
		return fmt.Errorf("ask for versions: got a %T", got)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return fmt.Errorf("ask for versions: %w", err)
	}
	versions := make(map[int16][2]int16, len(resp.ApiKeys))
	for _, k := range resp.ApiKeys {
		versions[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions = versions
	return nil
}

func (s *session) roundTrip(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	s.mu.Lock()
	versions := s.versions
	s.mu.Unlock()
	version, err := pickVersion(req, versions)
	if err != nil {
		return nil, err
	}
	return s.call(ctx, req, version)
}

// forward sends req at the version it has.
func (s *session) forward(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	s.mu.Lock()
	theirs, ok := s.versions[req.Key()]
	s.mu.Unlock()
	if v := req.GetVersion(); !ok || v < theirs[0] || v > theirs[1] {
		return nil, fmt.Errorf("%w: node does not serve version %d of %s", ErrNotSent, v, kmsg.NameForKey(req.Key()))
	}
	return s.call(ctx, req, req.GetVersion())
}

// call sends req and waits. When the deadline passes the connection is given up: whatever keeps the node from answering
// would keep it from answering the next request too.
func (s *session) call(ctx context.Context, req kmsg.Request, version int16) (kmsg.Response, error) {
	req.SetVersion(version)
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return nil, s.gaveUp(ctx)
	}
	c, err := s.send(ctx, req)
	<-s.writing
	if err != nil {
		return nil, err
	}
	select {
	case <-c.done:
		return c.resp, c.err
	case <-ctx.Done():
		return nil, s.gaveUp(ctx)
	}
}

func (s *session) gaveUp(ctx context.Context) error {
	err := context.Cause(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.fail(err)
	}
	return err
}

func (s *session) send(ctx context.Context, req kmsg.Request) (*call, error) {
	c := &call{req: req, done: make(chan struct{})}
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return nil, s.err
	}
	id := s.next
	s.next++
	s.waiting[id] = c
	s.mu.Unlock()
	frame := s.link.format.AppendRequest(nil, req, id)
	deadline, _ := ctx.Deadline()
	err := s.nc.SetWriteDeadline(deadline)
	if err == nil {
		_, err = s.nc.Write(frame)
	}
	if err != nil {
		s.fail(err)
		return nil, s.cause()
	}
	return c, nil
}

// readLoop hands out responses until the connection ends.
func (s *session) readLoop() {
	br := bufio.NewReader(s.nc)
	for {
		if err := s.readResponse(br); err != nil {
			s.fail(err)
			return
		}
	}
}

func (s *session) readResponse(br *bufio.Reader) error {
	var size [4]byte
	if _, err := io.ReadFull(br, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > maxResponse {
		return fmt.Errorf("response of %d bytes", n)
	}
	frame := s.room(int(n))
	if _, err := io.ReadFull(br, frame); err != nil {
		return err
	}
	id := int32(binary.BigEndian.Uint32(frame))
	s.mu.Lock()
	c := s.waiting[id]
	delete(s.waiting, id)
	s.mu.Unlock()
	if c == nil {
		return fmt.Errorf("response to request %d, which was not sent", id)
	}
	s.worked.Store(true)
	c.resp, c.err = decode(c.req, frame[4:])
	close(c.done)
	return c.err
}

// room returns memory for a response.
func (s *session) room(n int) []byte {
	if !s.link.o.ReuseResponses {
		return make([]byte, n)
	}
	if cap(s.reused) < n || cap(s.reused) > max(idleRoom, idleMultiple*n) { // neither too small nor far too large
		s.reused = make([]byte, max(n, minRoom))
	}
	return s.reused[:n]
}

// Sizes of memory that is reused: more than idleRoom is given up by a response that needs no idleMultiple-th of it.
const (
	minRoom      = 4 << 10
	idleRoom     = 64 << 10
	idleMultiple = 16
)

// decode reads a response; flexible ones but for ApiVersions have tagged fields in their header.
func decode(req kmsg.Request, body []byte) (kmsg.Response, error) {
	resp := req.ResponseKind()
	if resp.IsFlexible() && resp.Key() != protocol.APIVersionsKey {
		if len(body) == 0 || body[0] != 0 {
			return nil, errors.New("response header with tagged fields")
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("decode response: %w", err)
	}
	return resp, nil
}

// fail ends the session, once.
func (s *session) fail(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	err = fmt.Errorf("connection lost: %w", err)
	s.err = err
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	s.nc.Close()
	s.link.ended(s, s.worked.Load() && s.usable(), err)
	for _, c := range waiting {
		c.err = err
		close(c.done)
	}
}

// cause is why the session ended.
func (s *session) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// usable reports whether the session came to know the node's versions.
func (s *session) usable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.versions != nil
}
