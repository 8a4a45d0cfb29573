package chaos

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// proxyMark marks the proxies' own connections, so that they are not led to themselves.
const proxyMark = 1

// proxy passes connections on and can hold their bytes back, or keep them altogether.
type proxy struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	delay    atomic.Int64 // of each byte, one way
	cut      atomic.Bool  // nothing passes, and nobody is told

	mu     sync.Mutex // guards the fields below
	conns  map[net.Conn]bool
	closed bool
	wg     sync.WaitGroup
}

func newProxy(l net.Listener, dial func() (net.Conn, error)) *proxy {
	p := &proxy{listener: l, dial: dial, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	return p
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.pass(c) })
	}
}

// keep has close end a connection. It reports false when it is too late.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	_ = c.Close()
}

// pass carries one connection. Where nobody listens behind it, the connection is reset, as it would have been.
func (p *proxy) pass(in net.Conn) {
	if !p.keep(in) {
		return
	}
	defer p.drop(in)
	out, err := p.dial()
	if err != nil {
		if c, ok := in.(*net.TCPConn); ok {
			_ = c.SetLinger(0)
		}
		return
	}
	if !p.keep(out) {
		return
	}
	defer p.drop(out)
	done := make(chan struct{}, 2)
	p.wg.Go(func() { p.carry(out, in); done <- struct{}{} })
	p.wg.Go(func() { p.carry(in, out); done <- struct{}{} })
	<-done
}

// chunk is what was read, and when it may go on.
type chunk struct {
	data []byte
	at   time.Time
}

// carry copies one direction until it ends. At most 64 chunks are on their way: more wait at the sender, as in a network.
func (p *proxy) carry(to io.Writer, from io.Reader) {
	chunks := make(chan chunk, 64)
	p.wg.Go(func() {
		defer close(chunks)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if n > 0 {
				chunks <- chunk{buf[:n], time.Now().Add(time.Duration(p.delay.Load()))}
			}
			if err != nil {
				return
			}
		}
	})
	broken := false
	for c := range chunks { // to the end, so that the reader comes to its own
		if broken || !p.wait(c.at) {
			continue
		}
		_, err := to.Write(c.data)
		broken = err != nil
	}
}

// wait returns when bytes may go on, false when they never may.
func (p *proxy) wait(at time.Time) bool {
	for {
		p.mu.Lock()
		closed := p.closed
		p.mu.Unlock()
		left := time.Until(at)
		switch {
		case closed:
			return false
		case left <= 0 && !p.cut.Load():
			return true
		}
		time.Sleep(min(max(left, time.Millisecond), 20*time.Millisecond)) // a delay is what it is for
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// delays are the proxies in the namespace of one node.
type delays struct {
	space   string
	proxies []*proxy
}

func newDelays(space string) *delays { return &delays{space: space} }

// listen starts a proxy to an address and returns its port.
func (d *delays) listen(ctx context.Context, to string, delay time.Duration) (int, error) {
	var l net.Listener
	if err := inNamespace(d.space, func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(ctx, "tcp4", "0.0.0.0:0")
		return err
	}); err != nil {
		return 0, err
	}
	p := newProxy(l, func() (c net.Conn, err error) {
		err = inNamespace(d.space, func() error {
			c, err = dialMarked(to)
			return err
		})
		return c, err
	})
	p.delay.Store(int64(delay))
	d.proxies = append(d.proxies, p)
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("no TCP address")
	}
	return addr.Port, nil
}

func (d *delays) close() {
	for _, p := range d.proxies {
		p.close()
	}
}

func dialMarked(to string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, proxyMark) }), err)
	}}
	return dialer.Dial("tcp4", to)
}

// inNamespace calls fn on a thread of its own that is in a network namespace. Sockets stay in the one where they were made.
func inNamespace(space string, fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		f, err := os.Open("/run/netns/" + space)
		if err == nil {
			err = errors.Join(unix.Setns(int(f.Fd()), unix.CLONE_NEWNET), f.Close())
		}
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	return <-done
}
