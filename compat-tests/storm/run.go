package storm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/compat-tests/report"
)

// Options say how hard the storm blows.
type Options struct {
	Nodes    []string // addresses of the cluster
	Groups   int      // of each protocol
	Members  int      // of each group
	Duration time.Duration
	Restarts int
	Seed     uint64
	Plant    bool // has a member commit a lower offset now and then without a word: the run has to fail
	// Restart ends a node and starts it again.
	Restart func() error
	// RestartAll kills all nodes at once and starts them again.
	RestartAll func() error
	Out        io.Writer
}

// Properties are what the broker is started with.
func Properties() map[string]string {
	session := fmt.Sprint(sessionTimeout.Milliseconds())
	return map[string]string{
		"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "1000", "group.consumer.min.session.timeout.ms": "1000", "group.consumer.session.timeout.ms": session,
		"group.consumer.min.heartbeat.interval.ms": "100", "group.consumer.heartbeat.interval.ms": fmt.Sprint(beatEvery.Milliseconds()), "group.consumer.assignment.interval.ms": "100",
	}
}

const (
	topic      = "storm"
	partitions = 24
	settleTime = 120 * time.Second // it takes some seconds
	clients    = 3                 // franz-go members of a group of raw ones, which come and go as these do
	cooperates = 12                // members of the group that has only franz-go's
)

// weather is a storm while it blows.
type weather struct {
	Options
	h       *History
	admin   *kadm.Client
	topicID [16]byte
	names   []string // of the groups
	over    chan struct{}
	joined  atomic.Int64
	left    atomic.Int64
	crashed atomic.Int64
}

// Run lets the storm blow, waits until it has settled, and checks what happened.
func Run(ctx context.Context, o Options) *report.Report {
	r := report.New(o.Out, "storm")
	w := &weather{Options: o, h: NewHistory(), over: make(chan struct{})}
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.Nodes...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		r.Fail("connect", err)
		return r
	}
	w.admin = kadm.NewClient(cl)
	defer w.admin.Close()
	if !r.Check("topic", func() error {
		resp, err := w.admin.CreateTopic(ctx, partitions, -1, nil, topic)
		w.topicID = resp.ID
		return errors.Join(err, resp.Err)
	}) {
		return r
	}
	living, calm := context.WithCancel(ctx)
	defer calm()
	var members sync.WaitGroup
	join := func(group, protocol string, slots int) {
		w.names = append(w.names, group)
		for i := range slots {
			members.Go(func() { w.slot(living, group, protocol, i) })
		}
		members.Go(func() { w.watch(living, group) })
	}
	for g := range o.Groups {
		join(fmt.Sprintf("classic-%d", g), "classic", o.Members)
		join(fmt.Sprintf("consumer-%d", g), "consumer", o.Members)
	}
	join("cooperative", "cooperative", cooperates)
	r.Check("the storm", func() error { return w.blow(ctx, cl) })
	close(w.over)
	var ends []int64
	began := time.Now()
	r.Check("after it everything is read and committed", func() (err error) {
		ends, err = w.settle(ctx, cl)
		return err
	})
	took := time.Since(began)
	calm()
	members.Wait()
	r.Check("every commit is there after all nodes were killed", func() error { return w.kept(ctx, ends) })
	events := w.h.Events()
	r.Check("nothing was passed over, no commit went back, no partition had two owners", func() error {
		faults := Check(events, ends)
		if len(faults) == 0 {
			return nil
		}
		return fmt.Errorf("%d faults in %d events, seed %d\n%s", len(faults), len(events), o.Seed, strings.Join(faults[:min(8, len(faults))], "\n"))
	})
	r.Check("it was a storm", func() error {
		if w.joined.Load() < int64(2*o.Groups*o.Members) || w.crashed.Load() == 0 || w.left.Load() == 0 {
			return fmt.Errorf("only %d joined, %d left, %d crashed", w.joined.Load(), w.left.Load(), w.crashed.Load())
		}
		return nil
	})
	var records int64
	for _, e := range ends {
		records += e
	}
	fmt.Fprintf(o.Out, "storm: %d groups, %d members joined, %d left, %d crashed; %d restarts of a node, one of all; %d records for each group, %d events; settled after %s\n",
		len(w.names), w.joined.Load(), w.left.Load(), w.crashed.Load(), o.Restarts, records, len(events), took.Round(100*time.Millisecond))
	return r
}

// blow produces for as long as the storm lasts, while nodes are restarted.
func (w *weather) blow(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, w.Duration+settleTime)
	defer cancel()
	restarted := make(chan error, 1)
	go func() { restarted <- w.restarts(ctx) }() // ends before this function does
	end := time.Now().Add(w.Duration)
	var err error
	for n := 0; err == nil && time.Now().Before(end); n++ {
		err = errors.Join(produce(ctx, cl, n), pause(ctx, 300*time.Millisecond))
	}
	return errors.Join(err, <-restarted)
}

// restarts restarts a node now and then.
func (w *weather) restarts(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(w.Seed, 1))
	for range w.Restarts {
		if err := pause(ctx, w.Duration/time.Duration(w.Restarts+1)-time.Duration(rng.IntN(1000))*time.Millisecond); err != nil {
			return err
		}
		if err := w.Restart(); err != nil {
			return err
		}
	}
	return nil
}

// produce writes a few records to every partition.
func produce(ctx context.Context, cl *kgo.Client, n int) error {
	var list []*kgo.Record
	for p := range int32(partitions) {
		for i := range 3 {
			list = append(list, &kgo.Record{Topic: topic, Partition: p, Value: fmt.Appendf(nil, "%d.%d", n, i)})
		}
	}
	return cl.ProduceSync(ctx, list...).FirstErr()
}

// settle writes once more, so that every partition has to have an owner, and waits until every group has committed everything.
func (w *weather) settle(ctx context.Context, cl *kgo.Client) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	ends := make([]int64, partitions)
	if err := produce(ctx, cl, -1); err != nil {
		return ends, err
	}
	listed, err := w.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return ends, err
	}
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	for {
		behind, err := w.behind(ctx, ends)
		if err == nil && behind == "" {
			return ends, nil
		}
		if pauseErr := pause(ctx, 100*time.Millisecond); pauseErr != nil {
			return ends, fmt.Errorf("%w: %s", errors.Join(pauseErr, err), behind)
		}
	}
}

// kept kills all nodes and looks whether every group's commits are there.
func (w *weather) kept(ctx context.Context, ends []int64) error {
	if err := w.RestartAll(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		behind, err := w.behind(ctx, ends)
		switch {
		case err == nil && behind != "":
			return errors.New(behind)
		case err == nil:
			return nil
		}
		if pauseErr := pause(ctx, 100*time.Millisecond); pauseErr != nil {
			return errors.Join(pauseErr, err)
		}
	}
}

// watch asks for the committed offsets of a group again and again.
func (w *weather) watch(ctx context.Context, group string) {
	m := newRaw(w.Nodes, group, topic, group+".watch", w.Seed, w.h)
	defer m.cut()
	all := make([]int32, partitions)
	for p := range all {
		all[p] = int32(p)
	}
	for ctx.Err() == nil {
		_, _ = m.fetchOffsets(ctx, all) // the broker may be away
		_ = pause(ctx, 200*time.Millisecond)
	}
}

// behind names a partition that a group has not committed to its end.
func (w *weather) behind(ctx context.Context, ends []int64) (string, error) {
	for _, name := range w.names {
		offsets, err := w.admin.FetchOffsets(ctx, name)
		if err != nil {
			return "", err
		}
		for p, end := range ends {
			if o, ok := offsets.Lookup(topic, int32(p)); !ok || o.At != end {
				return fmt.Sprintf("%s has committed %d of %d in partition %d", name, o.At, end, p), nil
			}
		}
	}
	return "", nil
}

// liver is a member: a raw one of either protocol, or franz-go's.
type liver interface {
	live(ctx context.Context)
	leave(ctx context.Context)
	gone()
	cut()
}

// slot is one place in a group: member after member takes it. A quarter of them come and go, some fall silent; those that are
// there when the storm is over stay until it has settled.
func (w *weather) slot(ctx context.Context, group, protocol string, i int) {
	seed := w.Seed<<16 + uint64(i)
	rng := rand.New(rand.NewPCG(seed, uint64(len(group))))
	if pause(ctx, time.Duration(rng.IntN(2000))*time.Millisecond) != nil {
		return
	}
	for n := 0; ctx.Err() == nil; n++ {
		m, err := w.member(group, protocol, i, n, rng)
		if err != nil {
			fmt.Fprintf(w.Out, "storm: %s: %v\n", group, err)
			return
		}
		w.joined.Add(1)
		life, end := context.WithCancel(ctx)
		after := time.Duration(1000+rng.IntN(12000)) * time.Millisecond
		var fate sync.WaitGroup
		fate.Go(func() { w.fate(life, end, i, after) })
		m.live(life)
		end()
		fate.Wait()
		if ctx.Err() == nil && rng.IntN(2) == 0 {
			m.gone()
			m.cut()
			w.crashed.Add(1)
			continue
		}
		m.leave(context.WithoutCancel(ctx))
		w.left.Add(1)
	}
}

// fate ends the life of a member that comes and goes, as long as the storm blows.
func (w *weather) fate(life context.Context, end func(), i int, after time.Duration) {
	if i%4 != 0 {
		return // it stays
	}
	select {
	case <-time.After(after):
		end()
	case <-w.over:
	case <-life.Done():
	}
}

// member makes the n-th member of a place. Every eighth place is that of a static member, every tenth falls silent once, and some
// are franz-go's.
func (w *weather) member(group, protocol string, i, n int, rng *rand.Rand) (liver, error) {
	name := fmt.Sprintf("%s.%d.%d", group, i, n)
	if protocol == "cooperative" || i >= w.Members-clients {
		return newClient(w.Nodes, group, name, protocol, w.h)
	}
	var instance *string
	if i%8 == 4 {
		name = fmt.Sprintf("%s.static%d", group, i)
		instance = &name
	}
	m := newRaw(w.Nodes, group, topic, name, w.Seed+uint64(i*1000+n), w.h)
	m.instance, m.plant = instance, w.Plant && i == 1
	if i%10 == 3 && n == 0 {
		m.silentAt = time.Now().Add(time.Duration(2000+rng.IntN(int(w.Duration.Milliseconds()/2))) * time.Millisecond)
	}
	if protocol == "classic" {
		return &classic{raw: m, partitions: partitions}, nil
	}
	m.id = fmt.Sprintf("%s-%d-%d", name, n, rng.Uint32())
	return &consumer{raw: m, topicID: w.topicID}, nil
}
