package storm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/compat-tests/peer"
	"github.com/distributedmq/dmq/compat-tests/report"
)

const (
	topic      = "storm"
	partitions = 24
	slots      = 6 // members of a group at a time
	steady     = 3 // members of a group after the storm
	catchUp    = 3 * time.Minute
)

// Properties are what a broker needs so that members that crash are noticed while the storm lasts.
func Properties() map[string]string {
	return map[string]string{
		"group.initial.rebalance.delay.ms":          "0",
		"group.min.session.timeout.ms":              "1000",
		"group.consumer.min.session.timeout.ms":     "1000",
		"group.consumer.session.timeout.ms":         "4000",
		"group.consumer.min.heartbeat.interval.ms":  "100",
		"group.consumer.heartbeat.interval.ms":      "300",
		"group.consumer.assignment.interval.ms":     "0",
		"group.consumer.min.assignment.interval.ms": "0",
	}
}

// Options say how long a storm is.
type Options struct {
	Broker   *peer.Broker
	Members  int // of all groups together
	Restarts int
	Out      io.Writer
}

// storm is one run.
type storm struct {
	Options
	rec    recorder
	groups []group
	admin  *kgo.Client
}

// Run runs a storm and judges it.
func Run(ctx context.Context, o Options) *report.Report {
	r := report.New(o.Out, "storm")
	s := &storm{Options: o, groups: groups()}
	began := time.Now()
	if !r.Check("prepare", func() error { return s.prepare(ctx) }) {
		return r
	}
	defer s.admin.Close()
	sampling, stop := context.WithCancel(ctx)
	var samplers sync.WaitGroup
	for _, g := range s.groups {
		samplers.Go(func() { s.sample(sampling, g) })
	}
	ok := r.Check("the storm", func() error { return s.weather(ctx) }) &&
		r.Check("every group reads and commits the rest", func() error { return s.settle(ctx) }) &&
		r.Check("every commit is there after another restart", func() error { return s.restartSettled(ctx) })
	stop()
	samplers.Wait()
	r.Check("members of all kinds took part", s.tookPart)
	violations := s.judge(r, ok)
	h := &s.rec.h
	_, _ = fmt.Fprintf(o.Out, "storm: %d members, %d joined, %d left, %d crashed, %d restarts, %d records acknowledged, %d read, %d commits (%d without success), %d committed offsets sampled, %d violations; %s\n",
		s.rec.members.Load(), s.rec.joined.Load(), s.rec.left.Load(), s.rec.crashed.Load(), len(h.Restarts), len(h.Acked), len(h.Reads), len(h.Commits),
		s.rec.refused.Load(), len(h.Samples), violations, time.Since(began).Round(time.Second))
	return r
}

// judge checks the history. One that was not read to its end shows records as skipped that had no chance, so that is left
// out. It returns how many violations there are.
func (s *storm) judge(r *report.Report, complete bool) (count int) {
	var names []string
	for _, g := range s.groups {
		names = append(names, g.name)
	}
	violations := Check(&s.rec.h, names)
	for _, kind := range Kinds() {
		if kind == Skipped && !complete {
			continue
		}
		count += len(violations[kind])
		r.Check(kind, func() error {
			found := violations[kind]
			if len(found) == 0 {
				return nil
			}
			return fmt.Errorf("%d violations\n%s", len(found), strings.Join(found[:min(5, len(found))], "\n"))
		})
	}
	return count
}

// tookPart guards against a storm that tests nothing.
func (s *storm) tookPart() error {
	owned, committed := map[string]bool{}, map[string]bool{}
	for _, o := range s.rec.h.Owned {
		owned[o.Group] = owned[o.Group] || o.Generation > 0
	}
	for _, c := range s.rec.h.Commits {
		committed[c.Group] = committed[c.Group] || c.OK
	}
	for _, g := range s.groups {
		if !owned[g.name] || !committed[g.name] {
			return fmt.Errorf("%s: assigned %t, committed %t", g.name, owned[g.name], committed[g.name])
		}
	}
	if s.rec.left.Load() == 0 || s.rec.crashed.Load() == 0 || len(s.rec.h.Samples) == 0 {
		return fmt.Errorf("%d left, %d crashed, %d samples", s.rec.left.Load(), s.rec.crashed.Load(), len(s.rec.h.Samples))
	}
	return nil
}

func (s *storm) prepare(ctx context.Context) error {
	cl, err := samplingClient(s.Broker.Addr)
	if err != nil {
		return err
	}
	s.admin = cl
	resp, err := kadm.NewClient(cl).CreateTopic(ctx, partitions, 1, nil, topic)
	return errors.Join(err, resp.Err)
}

// weather lets members come and go, and restarts the broker, while records are produced.
func (s *storm) weather(ctx context.Context) error {
	producing, stop := context.WithCancel(ctx)
	defer stop()
	produced := make(chan error, 1)
	go func() { produced <- s.produce(producing) }() // joined below
	tickets := make(chan int)                        // one per member
	var wg sync.WaitGroup
	var mu sync.Mutex // guards errs
	var errs []error
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	for _, g := range s.groups {
		for range slots {
			wg.Go(func() {
				for n := range tickets {
					fail(s.live(ctx, g, n))
				}
			})
		}
	}
	for n := range s.Members {
		tickets <- n
		if every := s.Members / (s.Restarts + 1); n > 0 && n%every == 0 && n/every <= s.Restarts {
			fail(s.restart(ctx))
		}
	}
	close(tickets)
	wg.Wait()
	stop()
	return errors.Join(append(errs, <-produced)...)
}

// live is the life of one member: it joins, reads for a while, and leaves or crashes, sometimes before it has joined.
func (s *storm) live(ctx context.Context, g group, n int) error {
	m, err := newMember(s.Broker.Addr, g, 2*time.Second, &s.rec)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	span := time.Duration(100+rand.IntN(1500)) * time.Millisecond
	crashes := n%3 == 0
	var wg sync.WaitGroup
	wg.Go(func() {
		if n%10 != 0 { // one in ten does not wait until it has joined
			select {
			case <-m.joined:
			case <-ctx.Done():
			}
		}
		select {
		case <-time.After(span):
		case <-ctx.Done():
		}
		if crashes {
			m.crash()
		}
		cancel()
	})
	m.consume(ctx)
	wg.Wait()
	if crashes {
		m.close()
	} else {
		m.leave()
	}
	return nil
}

func (s *storm) restart(ctx context.Context) error {
	if err := s.Broker.Kill(); err != nil {
		return err
	}
	if err := s.Broker.Restart(ctx); err != nil {
		return err
	}
	at := s.rec.tick()
	s.rec.note(func(h *History) { h.Restarts = append(h.Restarts, at) })
	return nil
}

// produce writes unique values until ctx ends, and then waits for what is under way.
func (s *storm) produce(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Broker.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic), kgo.MaxBufferedRecords(5000))
	if err != nil {
		return err
	}
	defer cl.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		r := &kgo.Record{Partition: int32(n % partitions), Value: fmt.Appendf(nil, "record %d", n)}
		cl.Produce(context.WithoutCancel(ctx), r, func(r *kgo.Record, err error) {
			if err == nil {
				s.rec.note(func(h *History) { h.Acked = append(h.Acked, Read{"", r.Partition, r.Offset, string(r.Value)}) })
			}
		})
		if n%partitions == 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}
	flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), catchUp)
	defer cancel()
	if err := cl.Flush(flushing); err != nil {
		return fmt.Errorf("records are neither acknowledged nor refused: %w", err)
	}
	if s.rec.acked() < partitions {
		return fmt.Errorf("only %d records were acknowledged", s.rec.acked())
	}
	return nil
}
