package listener_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
)

// closedAfter returns the time until the server closes the connection.
func closedAfter(t *testing.T, c *client) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := io.Copy(io.Discard, c.nc); err != nil {
		t.Fatalf("wait for the connection to be closed: %v", err)
	}
	return time.Since(start).Round(time.Second)
}

func TestDeadlines(t *testing.T) {
	wait := &listener.Pending{}
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, c *client)
		want time.Duration
		slow int64
	}{
		{"silent", func(*testing.T, *client) {}, 10 * time.Minute, 0},
		{"idle after a request", func(_ *testing.T, c *client) {
			c.send(ping(1))
			c.wantCorr(1)
		}, 10 * time.Minute, 0},
		{"idle after the second byte", func(_ *testing.T, c *client) { c.send([]byte{0, 0}) }, 30 * time.Second, 1},
		{"claims 64 KiB", func(_ *testing.T, c *client) { c.send([]byte{0, 1, 0, 0, 0, 18, 0, 0}) }, 30 * time.Second, 1},
		{"half of a large request", func(_ *testing.T, c *client) { c.send(produce(1, 40<<20)[:32<<20]) }, (30 + 512) * time.Second, 1},
		{"one byte a second", func(_ *testing.T, c *client) {
			go func() {
				for _, b := range produce(1, 1000) {
					if _, err := c.nc.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
		}, 30 * time.Second, 1},
		{"idle after a long wait", func(_ *testing.T, c *client) {
			c.send(metadata(1))
			time.Sleep(time.Hour)
			wait.Complete(listener.Reply{Message: kmsg.NewPtrMetadataResponse()})
			c.wantCorr(1)
		}, 10 * time.Minute, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wait = listener.NewPending(false)
				s := listener.New(options(handlerFunc(func(ctx context.Context, r *listener.Request) listener.Response {
					if r.Header.Key == 3 {
						return wait
					}
					return echo(ctx, r)
				})))
				defer s.Close()
				c := pipe(t, s)
				tc.do(t, c)
				if got := closedAfter(t, c); got < tc.want-time.Second || got > tc.want+2*time.Second {
					t.Errorf("closed after %v, want %v", got, tc.want)
				}
				time.Sleep(2 * time.Second) // until the one that dribbles has noticed
				st := s.Stats()
				if st.ClosedSlow != tc.slow || st.ClosedIdle != 1-tc.slow {
					t.Errorf("got %d closed as slow and %d as idle, want %d and %d", st.ClosedSlow, st.ClosedIdle, tc.slow, 1-tc.slow)
				}
			})
		})
	}
}

func TestDeadlines_ClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &region{b: make([]byte, 1<<20), file: true}
		s := listener.New(options(handlerFunc(func(context.Context, *listener.Request) listener.Response {
			e := listener.NewEncoded()
			e.AddRegion(r)
			return e
		})))
		defer s.Close()
		c := pipe(t, s)
		c.send(fetch(1))
		time.Sleep(29 * time.Second)
		if st := s.Stats(); st.Connections != 1 {
			t.Error("closed before its time")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if st := s.Stats(); st.ClosedSlow != 1 || st.Connections != 0 || r.closed.Load() != 1 {
			t.Errorf("got %+v and the region closed %d times, want the connection closed as slow and the region once", st, r.closed.Load())
		}
	})
}

// A client that leaves while it waits is noticed, whatever it waits for.
func TestPending_IsAbandoned(t *testing.T) {
	for _, tc := range []struct {
		name string
		send []byte
		want []int32
	}{
		{"in place", metadata(1), []int32{1}},
		{"behind a produce", append(produce(1, 10), metadata(2)...), []int32{1, 2}},
		{"produces", append(produce(1, 10), produce(2, 10)...), []int32{1, 2}},
		{"with more sent", append(metadata(1), ping(2)...), []int32{1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var abandoned []int32
				var waits []*listener.Pending
				var ended atomic.Bool
				s := listener.New(options(handlerFunc(func(ctx context.Context, r *listener.Request) listener.Response {
					context.AfterFunc(ctx, func() { ended.Store(true) })
					p := listener.NewPending(r.Header.Key == 0)
					p.OnAbandon(func() { abandoned = append(abandoned, r.Header.CorrelationID) })
					waits = append(waits, p)
					return p
				})))
				defer s.Close()
				c := pipe(t, s)
				c.send(tc.send)
				time.Sleep(time.Minute)
				c.nc.Close()
				synctest.Wait()
				if d := cmp.Diff(tc.want, abandoned); d != "" || !ended.Load() {
					t.Errorf("abandoned requests (-want +got), context ended: %v\n%s", ended.Load(), d)
				}
				r := &region{}
				for _, p := range waits { // too late, but it has to free what it brings
					e := listener.NewEncoded()
					e.AddRegion(r)
					p.Complete(e)
				}
				if got := r.closed.Load(); int(got) != len(waits) {
					t.Errorf("got %d regions closed, want %d", got, len(waits))
				}
			})
		})
	}
}

func TestServer_Shutdown(t *testing.T) {
	t.Run("answers what has been asked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			waits := make(chan *listener.Pending, 10)
			s := listener.New(options(handlerFunc(func(ctx context.Context, r *listener.Request) listener.Response {
				if r.Header.Key == 18 {
					return echo(ctx, r)
				}
				p := listener.NewPending(r.Header.Key == 0)
				waits <- p
				return p
			})))
			idle, short, long, producer, half := pipe(t, s), pipe(t, s), pipe(t, s), pipe(t, s), pipe(t, s)
			half.send(ping(1)[:9])
			long.send(metadata(1))
			time.Sleep(5 * time.Second) // it watches for the end of the stream by now
			short.send(metadata(1))
			producer.send(append(produce(1, 10), produce(2, 10)...))
			synctest.Wait()
			done := make(chan error)
			go func() { done <- s.Shutdown(t.Context()) }()
			if closedAfter(t, idle) > time.Second || closedAfter(t, half) > time.Second {
				t.Error("a connection without a request is not closed at once")
			}
			for range 4 {
				(<-waits).Complete(listener.Deferred(func() listener.Response {
					return listener.Reply{Message: kmsg.NewPtrProduceResponse()}
				}))
			}
			short.wantCorr(1)
			long.wantCorr(1)
			producer.wantCorr(1, 2)
			if err := <-done; err != nil {
				t.Errorf("got %v, want no error", err)
			}
			if got := s.Stats(); got.Connections != 0 {
				t.Errorf("got %d connections left", got.Connections)
			}
			late := pipe(t, s)
			late.wantClosed()
		})
	})
	t.Run("cuts off at the deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var abandoned atomic.Int32
			s := listener.New(options(handlerFunc(func(ctx context.Context, r *listener.Request) listener.Response {
				if r.Header.Key == 3 { // waits in Serve
					<-ctx.Done()
					return listener.Close{Err: context.Cause(ctx)}
				}
				p := listener.NewPending(true)
				p.OnAbandon(func() { abandoned.Add(1) })
				return p
			})))
			a, b := pipe(t, s), pipe(t, s)
			a.send(produce(1, 10))
			b.send(metadata(1))
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			start := time.Now()
			if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
				t.Errorf("got %v after %v, want the deadline after 3 s", err, time.Since(start))
			}
			if abandoned.Load() != 1 {
				t.Error("the pending request was not abandoned")
			}
			s.Close()
		})
	})
}
