package listener_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
)

// slowProduce sends part of a Produce of n record bytes after a small one has earned it a large buffer.
func slowProduce(c *client, n int) (rest []byte) {
	c.send(produce(1, n/4))
	c.wantCorr(1)
	b := produce(2, n)
	c.send(b[:len(b)/2])
	return b[len(b)/2:]
}

func TestGate_ShedsStalledConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(handlerFunc(echo))
		o.Gate = listener.NewGate(4 << 20)
		s := listener.New(o)
		defer s.Close()
		stalled := []*client{pipe(t, s), pipe(t, s)}
		for _, c := range stalled {
			slowProduce(c, 2<<20-1000)
		}
		synctest.Wait()
		if o.Gate.Used() != 4<<20 {
			t.Fatalf("got %d bytes held, want all", o.Gate.Used())
		}
		time.Sleep(10 * time.Second) // while nobody else wants memory they may take their time
		if s.Stats().Connections != 2 {
			t.Fatal("a slow connection was closed without need")
		}
		good := pipe(t, s)
		start := time.Now()
		good.send(produce(3, 1<<20))
		good.wantCorr(3)
		if d := time.Since(start); d > time.Second {
			t.Errorf("the good client waited %v", d)
		}
		synctest.Wait()
		if got := s.Stats(); got.ClosedSlow != 2 || got.Connections != 1 {
			t.Errorf("got %+v, want the two stalled connections closed", got)
		}
		if o.Gate.Used() != 0 {
			t.Errorf("got %d bytes held at the end", o.Gate.Used())
		}
	})
}

// Connections that hold everything between them and all want more must not wait for each other for ever.
func TestGate_DoesNotDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(handlerFunc(echo))
		o.Gate = listener.NewGate(1 << 20)
		s := listener.New(o)
		defer s.Close()
		done := make(chan struct{}, 10)
		for i := range int32(10) {
			c := pipe(t, s)
			go func() {
				for corr := i; corr < 50; corr += 10 {
					go func() { c.nc.Write(produce(corr, 900<<10)) }()
					c.wantCorr(corr)
				}
				done <- struct{}{}
			}()
		}
		for range 10 {
			<-done
		}
		synctest.Wait()
		if got := s.Stats(); got.ClosedSlow != 0 || o.Gate.Used() != 0 || o.Gate.Queued() != 0 {
			t.Errorf("got %d connections closed, %d bytes held, %d in line, want none", got.ClosedSlow, o.Gate.Used(), o.Gate.Queued())
		}
	})
}

func TestGate_WaitersCanBeClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		o := options(handlerFunc(func(ctx context.Context, r *listener.Request) listener.Response {
			if r.Size > 1<<20 {
				<-block
			}
			return echo(ctx, r)
		}))
		o.Gate = listener.NewGate(2 << 20)
		s := listener.New(o)
		a, b := pipe(t, s), pipe(t, s)
		a.send(produce(1, 1<<20))
		synctest.Wait()
		go b.nc.Write(produce(2, 1<<20)) // in line: a may take as long as it likes
		time.Sleep(10 * time.Minute)
		if o.Gate.Queued() != 1 || s.Stats().Connections != 2 {
			t.Errorf("got %d in line and %d connections, want 1 and 2", o.Gate.Queued(), s.Stats().Connections)
		}
		go func() {
			time.Sleep(time.Second)
			close(block)
		}()
		s.Close()
		if o.Gate.Queued() != 0 || o.Gate.Used() != 0 {
			t.Errorf("got %d in line and %d bytes held after Close", o.Gate.Queued(), o.Gate.Used())
		}
	})
}

// The bytes of a request must not change before it is released, however much traffic there is beside it.
func TestRequest_OwnsItsBytes(t *testing.T) {
	o := options(nil)
	o.Gate = listener.NewGate(64 << 20)
	o.Gate.Poison()
	type held struct {
		r *listener.Request
		p *listener.Pending
	}
	waits := make(chan held, 100)
	records := func(r *listener.Request) []byte {
		q, ok := r.Body.(*kmsg.ProduceRequest)
		if !ok {
			return nil
		}
		return q.Topics[0].Partitions[0].Records
	}
	o.Handler = handlerFunc(func(_ context.Context, r *listener.Request) listener.Response {
		p := listener.NewPending(true)
		waits <- held{r, p}
		return p
	})
	_, addr := startTCP(t, o)
	c := dial(t, addr)
	sizes := []int{10, 5000, 100, 60_000, 3_000_000, 1}
	var all [][]byte
	for i, n := range sizes {
		all = append(all, produce(int32(i), n))
	}
	go c.nc.Write(slices.Concat(all...))
	var got []held
	for range sizes {
		got = append(got, <-waits)
	}
	for i, h := range got {
		if want := bytes.Repeat([]byte{byte(i)}, sizes[i]); !bytes.Equal(records(h.r), want) {
			t.Errorf("request %d: its records changed", i)
		}
		if i%2 == 0 {
			h.r.Release()
			h.r.Release()
		}
		if b := records(h.r); i == 0 && !bytes.Equal(b, bytes.Repeat([]byte{0xdb}, len(b))) {
			t.Error("the buffer of a released request was not overwritten: the test shows nothing")
		}
		h.p.Complete(listener.Reply{Message: kmsg.NewPtrProduceResponse()})
		c.wantCorr(int32(i))
	}
	eventually(t, "all memory given back", func() bool { return o.Gate.Used() == 0 })
}

// Replies that nobody reads must not pile up: large ones wait, and who does not read is cut off.
func TestServer_BoundsUnreadReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(handlerFunc(func(ctx context.Context, r *listener.Request) listener.Response {
			if r.Header.Key != 3 {
				return echo(ctx, r)
			}
			resp := kmsg.NewPtrMetadataResponse()
			for range 20_000 {
				resp.Topics = append(resp.Topics, kmsg.MetadataResponseTopic{Topic: new("a-topic-with-a-name-of-50-bytes-or-so-for-its-size")})
			}
			return listener.Reply{Message: resp}
		}))
		o.MaxUnsentBytes = 4 << 20
		s := listener.New(o)
		defer s.Close()
		var lazy []net.Conn
		for range 20 {
			c := pipe(t, s)
			c.send(metadata(1))
			lazy = append(lazy, c.nc)
		}
		synctest.Wait()
		good := pipe(t, s)
		good.send(ping(1)) // small replies do not wait
		good.wantCorr(1)
		start := time.Now()
		good.send(metadata(2))
		good.wantCorr(2)
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("the good client waited %v for a large reply", d)
		}
		if got := s.Stats().ClosedSlow; got == 0 {
			t.Error("no connection that does not read was closed")
		}
		for _, c := range lazy {
			c.Close()
		}
	})
}
