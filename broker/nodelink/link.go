package nodelink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
)

// The defaults of Options.
const (
	DefaultRequestTimeout = 30 * time.Second
	DefaultBackoffMin     = 10 * time.Millisecond
	DefaultBackoffMax     = time.Second
)

// ErrClosed is the failure of requests on a closed link.
var ErrClosed = errors.New("link closed")

// ErrNotSent is among the causes of a failure when the other node has seen nothing of the request.
var ErrNotSent = errors.New("not sent")

// Options configure a Link. Dial, Address and Logger are required.
type Options struct {
	Dial           func(ctx context.Context, network, address string) (net.Conn, error)
	Address        func() (string, error) // asked for each request, so it has to be quick: where the node is now
	ClientID       string
	RequestTimeout time.Duration // for a request whose context has no deadline; 0: DefaultRequestTimeout
	BackoffMin     time.Duration // 0: DefaultBackoffMin
	BackoffMax     time.Duration // 0: DefaultBackoffMax
	// ReuseResponses is for a link of one goroutine, which is done with a response, but for what it has copied, when it sends the
	// next request: responses are read into the same memory, which for large ones is most of what they cost.
	ReuseResponses bool
	Logger         *slog.Logger
}

// Link is the way to one node.
type Link struct {
	o      Options
	format *kmsg.RequestFormatter
	ctx    func() context.Context // ends with Close
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // read goroutines

	mu       sync.Mutex // guards the fields below
	closed   bool
	session  *session      // nil: not connected
	dialling chan struct{} // closed when the dial under way has ended; nil: there is none
	failures int           // dials and connections that came to nothing, in a row
	notUntil time.Time     // of the next dial
}

// New returns a link that is not connected yet.
func New(o Options) *Link {
	if o.RequestTimeout == 0 {
		o.RequestTimeout = DefaultRequestTimeout
	}
	if o.BackoffMin == 0 {
		o.BackoffMin = DefaultBackoffMin
	}
	if o.BackoffMax == 0 {
		o.BackoffMax = DefaultBackoffMax
	}
	o.Logger = o.Logger.With(slog.String("component", "nodelink"))
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Link{
		o: o, format: kmsg.NewRequestFormatter(kmsg.FormatterClientID(o.ClientID)),
		ctx: func() context.Context { return ctx }, cancel: cancel,
	}
}

// Request sends req at the highest version both sides know, which it sets, and waits for the response. An error means
// that there is none; the request may have been carried out all the same.
func (l *Link) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	return l.do(ctx, req, (*session).roundTrip)
}

// Forward is Request at the version that req has: its fields were filled in for that one.
func (l *Link) Forward(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	return l.do(ctx, req, (*session).forward)
}

func (l *Link) do(ctx context.Context, req kmsg.Request, send func(*session, context.Context, kmsg.Request) (kmsg.Response, error)) (kmsg.Response, error) {
	ctx, cancel := l.deadline(ctx)
	defer cancel()
	s, err := l.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect for %s: %w: %w", kmsg.NameForKey(req.Key()), ErrNotSent, err)
	}
	resp, err := send(s, ctx, req)
	if err != nil {
		return nil, fmt.Errorf("%s to %s: %w", kmsg.NameForKey(req.Key()), s.addr, err)
	}
	return resp, nil
}

func (l *Link) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, l.o.RequestTimeout)
}

// Close fails all requests and joins the link's goroutine.
func (l *Link) Close() error {
	l.cancel(ErrClosed)
	l.mu.Lock()
	l.closed = true
	s := l.session
	l.mu.Unlock()
	if s != nil {
		s.fail(ErrClosed)
	}
	l.wg.Wait()
	return nil
}

// connect returns the connection to where the node is now. One caller at a time dials, the others wait for it.
func (l *Link) connect(ctx context.Context) (*session, error) {
	for {
		addr, err := l.o.Address()
		if err != nil {
			return nil, fmt.Errorf("find the node: %w", err)
		}
		l.mu.Lock()
		s, dialling := l.session, l.dialling
		switch {
		case l.closed:
			l.mu.Unlock()
			return nil, ErrClosed
		case dialling == nil && s != nil && s.addr == addr:
			l.mu.Unlock()
			return s, nil
		case dialling == nil:
			dialling = make(chan struct{})
			l.dialling = dialling
			pause := time.Until(l.notUntil)
			l.mu.Unlock()
			if s != nil {
				s.fail(fmt.Errorf("node moved from %s to %s", s.addr, addr))
			}
			return l.dial(ctx, addr, pause, dialling)
		}
		l.mu.Unlock()
		select {
		case <-dialling:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-l.ctx().Done():
			return nil, ErrClosed
		}
	}
}

// dial connects after a pause and asks for the versions the node serves.
func (l *Link) dial(ctx context.Context, addr string, pause time.Duration, dialling chan struct{}) (s *session, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.ctx(), func() { cancel(ErrClosed) })()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.dialling = nil
		close(dialling)
		if err != nil && ctx.Err() == nil {
			l.failedLocked()
		}
	}()
	if pause > 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	nc, err := l.o.Dial(ctx, "tcp", addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	s = newSession(l, nc, addr)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		nc.Close()
		return nil, ErrClosed
	}
	l.session = s
	l.wg.Go(s.readLoop)
	l.mu.Unlock()
	if err := s.learnVersions(ctx); err != nil {
		s.fail(err)
		return nil, err
	}
	return s, nil
}

// failedLocked makes the next dial wait.
func (l *Link) failedLocked() {
	pause := l.o.BackoffMin << min(l.failures, 20)
	l.failures++
	l.notUntil = time.Now().Add(min(pause, l.o.BackoffMax))
}

// ended is called once for a session that has failed.
func (l *Link) ended(s *session, worked bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == s {
		l.session = nil
	}
	if worked {
		l.failures, l.notUntil = 0, time.Time{}
	} else if l.dialling == nil {
		l.failedLocked()
	}
	l.o.Logger.Debug("connection to node ended", slog.String("remote", s.addr), slog.Any("err", err))
}

// pickVersion is the highest version of a key that this node and the other one know.
func pickVersion(req kmsg.Request, theirs map[int16][2]int16) (int16, error) {
	ours := [2]int16{0, req.MaxVersion()}
	if api, ok := protocol.LookupAPI(req.Key()); ok {
		ours = [2]int16{api.MinVersion, api.MaxVersion}
	}
	r, ok := theirs[req.Key()]
	version := min(ours[1], r[1])
	if !ok || version < ours[0] || version < r[0] {
		return 0, fmt.Errorf("%w: node does not serve %s in a version that is known here", ErrNotSent, kmsg.NameForKey(req.Key()))
	}
	return version, nil
}
