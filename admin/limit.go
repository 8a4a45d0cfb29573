package admin

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"
)

// conns bounds the connections open at a time. When there are as many as may be, the one that has been without a request for the
// longest time makes room for the next; while all of them have one, further ones wait in the kernel's backlog. One that has just
// been opened is about to send its request.
type conns struct {
	most   int
	closed chan struct{}

	mu   sync.Mutex // guards the fields below
	open int
	idle *list.List                 // of idleConn, the longest idle first
	at   map[net.Conn]*list.Element // where each is in idle
	room *sync.Cond                 // something of the above has changed, or closed is closed
}

// idleConn is a connection without a request.
type idleConn struct {
	nc   net.Conn
	from time.Time // it may be closed from then on
}

// firstRequest is how long a new connection has for its first request before it may have to make room.
const firstRequest = time.Second

func newConns(most int) *conns {
	c := &conns{most: most, closed: make(chan struct{}), idle: list.New(), at: make(map[net.Conn]*list.Element)}
	c.room = sync.NewCond(&c.mu)
	return c
}

// changed follows the server's connections (http.Server.ConnState).
func (c *conns) changed(nc net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.at[nc]; e != nil {
		c.idle.Remove(e)
		delete(c.at, nc)
	}
	switch state {
	case http.StateNew:
		c.at[nc] = c.idle.PushBack(idleConn{nc, time.Now().Add(firstRequest)})
		time.AfterFunc(firstRequest, c.wake)
	case http.StateIdle:
		c.at[nc] = c.idle.PushBack(idleConn{nc, time.Time{}})
		c.room.Signal()
	default: // it has a request, or is gone
	}
}

// wake has take look again.
func (c *conns) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room.Signal()
}

// longest takes the connection out that has to make room; nil: there is none.
func (c *conns) longest() net.Conn {
	now := time.Now()
	for e := c.idle.Front(); e != nil; e = e.Next() {
		if idle := e.Value.(idleConn); !now.Before(idle.from) {
			c.idle.Remove(e)
			delete(c.at, idle.nc)
			return idle.nc
		}
	}
	return nil
}

// limit bounds a listener.
func (c *conns) limit(l net.Listener) net.Listener { return &limited{Listener: l, conns: c} }

// take waits until another connection may be accepted, and counts it; false: the listener was closed.
func (c *conns) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.open >= c.most {
		select {
		case <-c.closed:
			return false
		default:
		}
		nc := c.longest()
		if nc == nil {
			c.room.Wait()
			continue
		}
		c.mu.Unlock()
		_ = nc.Close() // gives its place back
		c.mu.Lock()
	}
	c.open++
	return true
}

func (c *conns) give() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	c.room.Signal()
}

type limited struct {
	net.Listener
	conns *conns
	once  sync.Once
}

func (l *limited) Accept() (net.Conn, error) {
	if !l.conns.take() {
		return nil, net.ErrClosed
	}
	nc, err := l.Listener.Accept()
	if err != nil {
		l.conns.give()
		return nil, err
	}
	return &limitedConn{Conn: nc, release: l.conns.give}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() {
		close(l.conns.closed)
		l.conns.mu.Lock()
		defer l.conns.mu.Unlock()
		l.conns.room.Broadcast()
	})
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
	once    sync.Once
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.release)
	return err
}
