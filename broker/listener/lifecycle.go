package listener

import (
	"context"
	"errors"
	"time"
)

// Shutdown stops accepting, closes each connection once what it has asked is answered, and cuts off the rest when ctx
// ends. Whoever owns waits completes them meanwhile. The server is closed when it returns.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopAccepting()
	for _, c := range s.snapshot(nil) {
		// Whoever reads stops reading, and finds out that the server stops.
		if err := c.net().SetReadDeadline(past); err != nil {
			c.cutOff(fateEnded, err)
		}
	}
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	err = errors.Join(err, s.Close())
	<-done
	return err
}

// Close cuts off every connection and returns when all goroutines are gone.
func (s *Server) Close() error {
	s.stopAccepting()
	s.cancel(errClosed)
	for _, c := range s.snapshot(nil) {
		c.cutOff(fateEnded, errClosed)
	}
	s.wg.Wait()
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		s.sweeper.close()
	}
	return nil
}

// stopAccepting makes register refuse connections.
func (s *Server) stopAccepting() {
	s.mu.Lock()
	s.stopping.Store(true)
	ln := s.ln
	s.mu.Unlock()
	if ln != nil {
		ln.Close()
	}
}

// Stats returns the server's counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := len(s.conns)
	s.mu.Unlock()
	return Stats{
		Connections: open, Accepted: s.accepted.Load(), Rejected: s.rejected.Load(), AcceptErrors: s.acceptErrors.Load(),
		BytesIn: s.bytesIn.Load(), BytesOut: s.bytesOut.Load(), Panics: s.fates[fatePanic].Load(),
		Serving: time.Duration(s.inHandler.Load()), Sending: time.Duration(s.inWrite.Load()),
		ClosedIdle: s.fates[fateIdle].Load(), ClosedSlow: s.fates[fateSlow].Load(), ClosedBad: s.fates[fateBad].Load(),
		ClosedByHandler: s.fates[fateHandler].Load(),
	}
}

// replyHint is how large a reply to a key may become, as far as is known; 0 for what is small.
func (s *Server) replyHint(key int16) int {
	if key < 0 || int(key) >= len(s.hints) {
		return 0
	}
	return int(s.hints[key].Load())
}

// noteReply follows the size of large replies: up at once, down slowly.
func (s *Server) noteReply(key int16, n int) {
	if key < 0 || int(key) >= len(s.hints) {
		return
	}
	old := s.hints[key].Load()
	next := max(old-old/8, int32(min(n, 1<<30)))
	if next < 1<<minClassBits {
		next = 0
	}
	if next != old {
		s.hints[key].Store(next)
	}
}

// awaitUnsent waits until n more bytes may be made for clients that do not read.
func (s *Server) awaitUnsent(ctx context.Context, n int64) error {
	if !s.unsent.take(n) {
		if err := s.unsent.wait(ctx, n, 0); err != nil {
			return err
		}
	}
	s.unsent.free(n) // writeAll counts what it was
	return nil
}

// sendBuffer returns a large buffer, or a small one while many clients are slow to read.
func (s *Server) sendBuffer() *buffer {
	size := sendBytes
	if s.sending.Add(1) > sendMax {
		size = sendMin
	}
	return s.gate.fromPool(size)
}

func (s *Server) sendDone(b *buffer) {
	s.sending.Add(-1)
	s.gate.toPool(b)
}
