package purgatory_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/broker/purgatory"
)

// op is an operation whose Try succeeds once ready is set.
type op struct {
	ready    atomic.Bool
	running  atomic.Int32 // methods running now
	tries    atomic.Int32
	outcomes []purgatory.Outcome
	try      func() // called in Try
	t        *testing.T
}

func (o *op) Try() bool {
	o.enter()
	defer o.running.Add(-1)
	o.tries.Add(1)
	if o.try != nil {
		o.try()
	}
	return o.ready.Load()
}

func (o *op) Complete(out purgatory.Outcome) {
	o.enter()
	defer o.running.Add(-1)
	o.outcomes = append(o.outcomes, out)
}

func (o *op) enter() {
	if o.running.Add(1) != 1 {
		o.t.Error("two methods of one operation run at a time")
	}
}

func (o *op) want(t *testing.T, want ...purgatory.Outcome) {
	t.Helper()
	if d := cmp.Diff(want, o.outcomes); d != "" {
		t.Errorf("outcomes (-want +got):\n%s", d)
	}
}

func wantLen(t *testing.T, p *purgatory.Purgatory[string], length, watched int) {
	t.Helper()
	if p.Len() != length || p.Watched() != watched {
		t.Errorf("got %d waits under %d keys, want %d under %d", p.Len(), p.Watched(), length, watched)
	}
}

func TestPurgatory_CompletesOnEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := purgatory.New[string](purgatory.Options{})
		defer p.Close()
		a, b, ab := &op{t: t}, &op{t: t}, &op{t: t}
		far := time.Now().Add(time.Hour)
		for _, w := range []*purgatory.Wait[string]{p.Watch(a, far, "a"), p.Watch(b, far, "b"), p.Watch(ab, far, "a", "b")} {
			if w == nil {
				t.Fatal("an operation that cannot be completed is not held")
			}
		}
		wantLen(t, p, 3, 4)
		if n := p.Notify("a"); n != 0 {
			t.Errorf("got %d completed before their event, want 0", n)
		}
		a.ready.Store(true)
		ab.ready.Store(true)
		if n := p.Notify("b"); n != 1 {
			t.Errorf("got %d completed by the event on b, want 1", n)
		}
		wantLen(t, p, 2, 2)
		ab.want(t, purgatory.Satisfied)
		a.want(t)
		if n := p.Notify("a"); n != 1 {
			t.Errorf("got %d completed by the event on a, want 1", n)
		}
		if n := p.Notify("nobody"); n != 0 {
			t.Errorf("got %d completed under a key without waits, want 0", n)
		}
		a.want(t, purgatory.Satisfied)
		wantLen(t, p, 1, 1)
	})
}

func TestPurgatory_CompletesAtOnce(t *testing.T) {
	p := purgatory.New[string](purgatory.Options{})
	defer p.Close()
	o := &op{t: t}
	o.ready.Store(true)
	if w := p.Watch(o, time.Now().Add(time.Hour), "a", "b"); w != nil {
		t.Error("an operation that could be completed is held")
	}
	o.want(t, purgatory.Satisfied)
	wantLen(t, p, 0, 0)
}

func TestPurgatory_Expires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := purgatory.New[string](purgatory.Options{})
		start := time.Now()
		var ops []*op
		for _, seconds := range []int{30, 10, 20, 10, 40} {
			o := &op{t: t}
			ops = append(ops, o)
			p.Watch(o, start.Add(time.Duration(seconds)*time.Second), "a")
		}
		never := &op{t: t}
		p.Watch(never, time.Time{}, "a")
		time.Sleep(10*time.Second - 1)
		synctest.Wait()
		wantLen(t, p, 6, 6)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		wantLen(t, p, 4, 4)
		ops[1].want(t, purgatory.Expired)
		ops[3].want(t, purgatory.Expired)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		wantLen(t, p, 2, 2)
		early := &op{t: t}
		p.Watch(early, time.Now().Add(time.Second), "b")
		time.Sleep(time.Second)
		synctest.Wait()
		early.want(t, purgatory.Expired)
		past := &op{t: t}
		p.Watch(past, start, "b")
		synctest.Wait()
		past.want(t, purgatory.Expired)
		ops[4].want(t)
		p.Close()
		ops[4].want(t, purgatory.Closed)
		never.want(t, purgatory.Closed)
		wantLen(t, p, 0, 0)
	})
}

func TestPurgatory_CancelRejectClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := purgatory.New[string](purgatory.Options{Limit: 2})
		far := time.Now().Add(time.Hour)
		a, b, c, d := &op{t: t}, &op{t: t}, &op{t: t}, &op{t: t}
		w := p.Watch(a, far, "a")
		p.Watch(b, far, "a")
		if p.Watch(c, far, "a") != nil {
			t.Error("more operations are held than the limit allows")
		}
		c.want(t, purgatory.Rejected)
		w.Cancel()
		w.Cancel()
		a.want(t, purgatory.Cancelled)
		p.Watch(d, far, "a")
		p.Close()
		p.Close()
		d.want(t, purgatory.Closed)
		late := &op{t: t}
		if p.Watch(late, far, "a") != nil {
			t.Error("a closed purgatory holds an operation")
		}
		late.want(t, purgatory.Closed)
		wantLen(t, p, 0, 0)
	})
}

// An event that comes while Try runs, after it has looked, must make it look again.
func TestPurgatory_LosesNoEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := purgatory.New[string](purgatory.Options{})
		defer p.Close()
		o := &op{t: t}
		p.Watch(o, time.Time{}, "a")
		inTry, goOn := make(chan struct{}), make(chan struct{})
		var once sync.Once
		o.try = func() {
			once.Do(func() {
				close(inTry)
				<-goOn
			})
		}
		go p.Notify("a")
		<-inTry
		if n := p.Notify("a"); n != 0 {
			t.Errorf("got %d completed beside a running Try, want 0", n)
		}
		close(goOn)
		synctest.Wait()
		if got := o.tries.Load(); got != 3 {
			t.Errorf("got %d tries, want 3: at Watch, at the first event, and at the one that came meanwhile", got)
		}
	})
}

// Events, deadlines, cancellations and the end of the purgatory compete for many operations.
func TestPurgatory_CompletesExactlyOnce(t *testing.T) {
	p := purgatory.New[string](purgatory.Options{})
	keys := []string{"a", "b", "c", "d", "e"}
	const perWorker = 500
	var ops sync.Map
	var wg sync.WaitGroup
	var stop atomic.Bool
	for i := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			for j := range perWorker {
				o := &op{t: t}
				ops.Store([2]int{i, j}, o)
				n := 1 + rnd.IntN(3)
				at := rnd.IntN(len(keys) - n + 1)
				w := p.Watch(o, time.Now().Add(time.Duration(rnd.IntN(2000))*time.Microsecond), keys[at:at+n]...)
				if rnd.IntN(2) == 0 {
					o.ready.Store(true)
					p.Notify(keys[at])
				} else if w != nil && rnd.IntN(4) == 0 {
					w.Cancel()
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				for _, k := range keys {
					p.Notify(k)
				}
			}
		})
	}
	go func() {
		for p.Len() > 100 {
			p.Notify("a")
		}
		stop.Store(true)
	}()
	wg.Wait()
	p.Close()
	n := 0
	ops.Range(func(_, v any) bool {
		n++
		if o, ok := v.(*op); !ok || len(o.outcomes) != 1 {
			t.Errorf("completed with %v, want exactly one outcome", o.outcomes)
		}
		return true
	})
	if n != 4*perWorker {
		t.Errorf("got %d operations, want %d", n, 4*perWorker)
	}
	wantLen(t, p, 0, 0)
}

func BenchmarkWatchNotify(b *testing.B) {
	for _, waits := range []int{0, 10_000} {
		b.Run(map[bool]string{true: "empty", false: "waits=10000"}[waits == 0], func(b *testing.B) {
			p := purgatory.New[string](purgatory.Options{})
			defer p.Close()
			far := time.Now().Add(time.Hour)
			for range waits {
				p.Watch(&op{}, far, "other")
			}
			b.ReportAllocs()
			for b.Loop() {
				o := &benchOp{}
				p.Watch(o, far, "a")
				o.ready = true
				p.Notify("a")
			}
		})
	}
}

func BenchmarkNotifyNobody(b *testing.B) {
	p := purgatory.New[string](purgatory.Options{})
	defer p.Close()
	b.ReportAllocs()
	for b.Loop() {
		p.Notify("nobody")
	}
}

type benchOp struct{ ready bool }

func (o *benchOp) Try() bool                    { return o.ready }
func (o *benchOp) Complete(_ purgatory.Outcome) {}
