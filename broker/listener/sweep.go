package listener

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/distributedmq/dmq/protocol"
)

// What a connection is doing, for the sweeper.
const (
	phaseIdle  int64 = iota // waits for the first byte of a request
	phaseFrame              // reads a request
	phaseServe              // runs one, or waits for one to be answered
	phaseWatch              // as phaseServe, and reads ahead to see whether the client has gone
	phaseBits  = 3
)

// What the sweeper goes by. Rates are per second.
const (
	sweepEvery = 250 * time.Millisecond
	frameRate  = 64 << 10 // what a client has to send of a frame on average, after FrameTimeout
	shortAfter = 500 * time.Millisecond
	shortRate  = 256 << 10 // the same while request memory is short, after shortAfter
	trimEvery  = time.Minute
)

// enter notes what the read goroutine does from now on, unless it does so already. Time is counted in sweeps.
func (c *conn) enter(phase int64) {
	if c.phase.Load()&(1<<phaseBits-1) != phase {
		c.phase.Store(c.server.tick.Load()<<phaseBits | phase)
	}
}

// fate is why a connection was ended, for the counters.
type fate int32

const (
	fateEnded   fate = iota + 1 // by the client, or by a server that stops
	fateIdle                    // said nothing for too long
	fateSlow                    // was too slow to send or to read
	fateBad                     // sent what is malformed or not served
	fateWrite                   // could not be written to
	fateHandler                 // by the handler
	fatePanic
)

func fateOf(err error) fate {
	var (
		unsupported *protocol.UnsupportedError
		panicked    *panicError
		closed      *closeError
	)
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return fateEnded
	case errors.As(err, &panicked):
		return fatePanic
	case errors.As(err, &closed):
		return fateHandler
	case errors.As(err, &unsupported), errors.Is(err, protocol.ErrMalformed), errors.Is(err, errFrameSize):
		return fateBad
	}
	return fateEnded
}

// The reasons given when a server or its sweeper cuts a connection off.
var (
	errClosed    = errors.New("server closed")
	errIdle      = errors.New("idle for too long")
	errSlowFrame = errors.New("request not received in time")
	errSlowRead  = errors.New("responses not read in time")
	errShort     = errors.New("too slow while memory is short")
)

// sweeper looks after deadlines: one goroutine that walks over the connections a few times a second costs less than a
// deadline set for every read and write.
type sweeper struct {
	s      *Server
	stop   chan struct{}
	wg     sync.WaitGroup
	shed   chan struct{} // asks for a sweep at once
	trimAt int64
	conns  []*conn
}

func (w *sweeper) start() {
	w.stop, w.shed = make(chan struct{}), make(chan struct{}, 1)
	w.wg.Go(w.loop)
}

func (w *sweeper) close() {
	close(w.stop)
	w.wg.Wait()
}

// shortNow is called when memory runs short.
func (w *sweeper) shortNow() {
	select {
	case w.shed <- struct{}{}:
	default:
	}
}

func (w *sweeper) loop() {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			now := w.s.tick.Add(1)
			w.sweep(now)
			if now-w.trimAt >= ticks(trimEvery) {
				w.trimAt = now
				w.s.gate.trim()
			}
		case <-w.shed:
			w.sweep(w.s.tick.Load())
		case <-w.stop:
			return
		}
	}
}

func ticks(d time.Duration) int64 { return int64(d / sweepEvery) }

func (w *sweeper) sweep(now int64) {
	short := limits{
		frameIn: w.s.gate.budget.short(),
		sendOut: w.s.unsent.short(),
	}
	w.conns = w.s.snapshot(w.conns)
	for i, c := range w.conns {
		if f, err := w.judge(c, now, short); f != 0 {
			c.cutOff(f, err)
		}
		w.conns[i] = nil
	}
}

// limits says of what memory is short.
type limits struct{ frameIn, sendOut bool }

func (w *sweeper) judge(c *conn, now int64, short limits) (fate, error) {
	o := &w.s.o
	if since := c.writing.Load(); since != 0 {
		age := now - (since - 1)
		if age > ticks(o.WriteTimeout) || short.sendOut && age > ticks(shortAfter) {
			return fateSlow, errSlowRead
		}
	}
	at := c.phase.Load()
	age := now - at>>phaseBits
	switch at & (1<<phaseBits - 1) {
	case phaseIdle:
		if o.IdleTimeout > 0 && age > ticks(o.IdleTimeout) {
			return fateIdle, errIdle
		}
	case phaseFrame:
		got := c.got.Load()
		if age > ticks(o.FrameTimeout)+ticks(perRate(got, frameRate)) {
			return fateSlow, errSlowFrame
		}
		if short.frameIn && c.held.Load() > 0 && age > ticks(shortAfter)+ticks(perRate(got, shortRate)) {
			return fateSlow, errShort
		}
	case phaseWatch:
		c.mu.Lock()
		empty := c.lineEmptyLocked()
		c.mu.Unlock()
		if empty { // answered meanwhile: it is idle from now on
			c.phase.CompareAndSwap(at, now<<phaseBits|phaseIdle) //nolint:staticcheck // phaseIdle is 0, and says what is meant
		}
	}
	return 0, nil
}

func perRate(bytes int64, rate int64) time.Duration {
	return time.Duration(bytes * int64(time.Second) / rate)
}
