package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/compat-tests/history"
)

var loadTopics = []string{"load-0", "load-1"}

const (
	loadPartitions = 4
	producers      = 4
	members        = 3
	group          = "chaos"
	maxSize        = 700 // of a record
)

// Processes in the history. Producers are 1 and up.
const (
	procConsumer = 100
	procMember   = 110
	procWatcher  = 120
	procFinal    = 200 // and the node
)

// load is the clients of a run.
type load struct {
	seeds []string
	seed  uint64
	rate  int // records a second of each producer
	h     *history.Writer
}

func (l *load) options(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(l.seeds...), kgo.MetadataMinAge(250 * time.Millisecond), kgo.MetadataMaxAge(5 * time.Second), kgo.DialTimeout(3 * time.Second),
		kgo.RequestTimeoutOverhead(5 * time.Second), kgo.RetryTimeout(20 * time.Second), kgo.ConnIdleTimeout(time.Minute),
	}, more...)
}

// start starts the clients. stop ends the producers and returns when every record of theirs is resolved; drain then waits until the
// group has read and committed everything, and ends the rest.
func (l *load) start(ctx context.Context) (stop func(context.Context) error, drain func(context.Context, map[history.Partition]int64) error, err error) {
	producing, stopProducing := context.WithCancel(ctx)
	sending, giveUp := context.WithCancel(context.WithoutCancel(ctx)) // records on their way outlive those who sent them
	reading, stopReading := context.WithCancel(ctx)
	var writers, readers sync.WaitGroup
	var clients []*kgo.Client
	for p := range producers {
		cl, err := l.producer(int32(p + 1))
		if err != nil {
			stopProducing()
			giveUp()
			stopReading()
			return nil, nil, err
		}
		clients = append(clients, cl)
		writers.Go(func() { l.produce(producing, sending, cl, int32(p+1)) })
	}
	progress := newProgress()
	readers.Go(func() { l.consume(reading) })
	for m := range members {
		readers.Go(func() { l.join(reading, int32(procMember+m), progress) })
	}
	readers.Go(func() { l.watch(reading) })
	stop = func(ctx context.Context) error {
		stopProducing()
		context.AfterFunc(ctx, giveUp)
		writers.Wait()
		var errs []error
		for i, cl := range clients {
			if err := cl.Flush(ctx); err != nil {
				errs = append(errs, fmt.Errorf("producer %d: %d records are not resolved: %w", i+1, cl.BufferedProduceRecords(), err))
			}
			cl.Close()
		}
		giveUp()
		return errors.Join(errs...)
	}
	drain = func(ctx context.Context, ends map[history.Partition]int64) error {
		err := await(ctx, "wait for the group", func() error { return progress.reached(ends) })
		if err == nil {
			for p, end := range ends {
				l.h.Add(history.Op{Kind: history.Drained, Outcome: history.OK, Group: group, Partition: p, Offset: end})
			}
		}
		stopReading()
		readers.Wait()
		return err
	}
	return stop, drain, nil
}

func (l *load) producer(proc int32) (*kgo.Client, error) {
	l.h.Add(history.Op{Kind: history.Producer, Proc: proc, Idempotent: true, Outcome: history.OK})
	return kgo.NewClient(l.options(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(1000),
		kgo.ProducerLinger(time.Duration(proc%2)*5*time.Millisecond), kgo.RecordDeliveryTimeout(60*time.Second), kgo.ProduceRequestTimeout(5*time.Second))...)
}

// produce sends records at the rate, in bursts, until ctx ends. It waits where the cluster does not keep up. What was sent goes on
// until sending ends.
func (l *load) produce(ctx, sending context.Context, cl *kgo.Client, proc int32) {
	rng := rand.New(rand.NewPCG(l.seed, uint64(proc)))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := int64(0); ; {
		for range max(1, l.rate/100) {
			n++
			l.send(sending, cl, proc, history.NewValue(proc, n), history.Partition{Topic: loadTopics[rng.IntN(len(loadTopics))], Partition: rng.Int32N(loadPartitions)}, rng.IntN(maxSize))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// send sends one record. Whatever error comes back, nobody knows what became of it.
func (l *load) send(ctx context.Context, cl *kgo.Client, proc int32, v history.Value, to history.Partition, size int) {
	op := history.Op{Kind: history.Send, Proc: proc, Start: l.h.Now(), Partition: to, Value: v, Offset: -1, Outcome: history.Unknown}
	cl.Produce(ctx, &kgo.Record{Topic: to.Topic, Partition: to.Partition, Value: payload(v, size)}, func(r *kgo.Record, err error) {
		if err == nil {
			op.Outcome, op.Offset = history.OK, r.Offset
		} else {
			op.Err = err.Error()
		}
		l.h.Add(op)
	})
}

func everything() map[string]map[int32]kgo.Offset {
	all := map[string]map[int32]kgo.Offset{}
	for _, t := range loadTopics {
		all[t] = map[int32]kgo.Offset{}
		for p := range int32(loadPartitions) {
			all[t][p] = kgo.NewOffset().AtStart()
		}
	}
	return all
}

// consume reads everything from the start, alone.
func (l *load) consume(ctx context.Context) {
	cl, err := kgo.NewClient(l.options(kgo.ConsumePartitions(everything()), kgo.FetchMaxWait(500*time.Millisecond))...)
	if err != nil {
		return
	}
	defer cl.Close()
	for t, ps := range everything() {
		for p := range ps {
			l.h.Add(history.Op{Kind: history.Assign, Proc: procConsumer, Outcome: history.OK, Partition: history.Partition{Topic: t, Partition: p}})
		}
	}
	for ctx.Err() == nil {
		l.shown(procConsumer, cl.PollFetches(ctx))
	}
}

// shown notes what a poll returned, and what each partition is read up to now.
func (l *load) shown(proc int32, fs kgo.Fetches) map[history.Partition]int64 {
	next := map[history.Partition]int64{}
	fs.EachPartition(func(p kgo.FetchTopicPartition) {
		op := history.Op{Kind: history.Poll, Proc: proc, Start: l.h.Now(), Outcome: history.OK, Partition: history.Partition{Topic: p.Topic, Partition: p.Partition}}
		for _, r := range p.Records {
			op.Records = append(op.Records, history.Record{Offset: r.Offset, Value: valueOf(r.Value)})
			next[op.Partition] = r.Offset + 1
		}
		if len(op.Records) > 0 {
			l.h.Add(op)
		}
		var loss *kgo.ErrDataLoss
		if errors.As(p.Err, &loss) {
			l.h.Add(history.Op{Kind: history.DataLoss, Proc: proc, Outcome: history.OK, Partition: op.Partition, Offset: loss.ResetTo, Err: loss.Error()})
		}
	})
	return next
}

// member is a member of the group. What it has read and not committed yet is forgotten when the partition is taken away.
type member struct {
	l        *load
	proc     int32
	progress *progress

	mu   sync.Mutex // guards next
	next map[history.Partition]int64
}

// join is the life of a member: it reads, and commits what it has read until it is told that it has.
func (l *load) join(ctx context.Context, proc int32, progress *progress) {
	m := &member{l: l, proc: proc, progress: progress, next: map[history.Partition]int64{}}
	cl, err := kgo.NewClient(l.options(kgo.ConsumerGroup(group), kgo.ConsumeTopics(loadTopics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(500*time.Millisecond), kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(time.Second),
		kgo.OnPartitionsAssigned(m.assigned), kgo.OnPartitionsRevoked(m.gone), kgo.OnPartitionsLost(m.gone))...)
	if err != nil {
		return
	}
	defer cl.CloseAllowingRebalance()
	for ctx.Err() == nil {
		pctx, cancel := context.WithTimeout(ctx, time.Second)
		fs := cl.PollFetches(pctx)
		cancel()
		m.mu.Lock()
		maps.Copy(m.next, l.shown(proc, fs))
		m.mu.Unlock()
		m.commit(ctx, cl)
		cl.AllowRebalance()
	}
}

func (m *member) assigned(_ context.Context, _ *kgo.Client, given map[string][]int32) {
	for t, ps := range given {
		for _, p := range ps {
			m.l.h.Add(history.Op{Kind: history.Assign, Proc: m.proc, Outcome: history.OK, Group: group, Offset: -1, Partition: history.Partition{Topic: t, Partition: p}})
		}
	}
}

func (m *member) gone(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for t, ps := range taken {
		for _, p := range ps {
			delete(m.next, history.Partition{Topic: t, Partition: p})
		}
	}
}

// commit commits offsets and notes for each what became of it. No rebalance comes between.
func (m *member) commit(ctx context.Context, cl *kgo.Client) {
	m.mu.Lock()
	next := maps.Clone(m.next)
	m.mu.Unlock()
	if len(next) == 0 {
		return
	}
	began := m.l.h.Now()
	offsets := map[string]map[int32]kgo.EpochOffset{}
	ops := map[history.Partition]*history.Op{}
	for p, o := range next {
		if offsets[p.Topic] == nil {
			offsets[p.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[p.Topic][p.Partition] = kgo.EpochOffset{Epoch: -1, Offset: o}
		ops[p] = &history.Op{Kind: history.Commit, Proc: m.proc, Start: began, Outcome: history.Unknown, Group: group, Partition: p, Offset: o}
	}
	cctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cl.CommitOffsetsSync(cctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		noteCommits(ops, resp, err)
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, op := range ops {
		m.l.h.Add(*op)
		if op.Outcome == history.OK {
			m.progress.committed(p, op.Offset)
			delete(m.next, p)
		}
	}
}

// noteCommits takes the outcomes of commits from the answer. One that was refused may have been taken when it was sent first.
func noteCommits(ops map[history.Partition]*history.Op, resp *kmsg.OffsetCommitResponse, err error) {
	if err != nil {
		for _, op := range ops {
			op.Err = err.Error()
		}
		return
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			op := ops[history.Partition{Topic: t.Topic, Partition: p.Partition}]
			switch err := kerr.ErrorForCode(p.ErrorCode); {
			case op == nil:
			case err == nil:
				op.Outcome = history.OK
			default:
				op.Err = err.Error()
			}
		}
	}
}

// watch asks again and again where the partitions end and what the group has committed.
func (l *load) watch(ctx context.Context) {
	cl, err := kgo.NewClient(l.options(kgo.RetryTimeout(3 * time.Second))...)
	if err != nil {
		return
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		l.askEnds(ctx, admin)
		l.askCommitted(ctx, admin)
	}
}

func (l *load) askEnds(ctx context.Context, admin *kadm.Client) {
	began := l.h.Now()
	ends, _ := admin.ListEndOffsets(ctx, loadTopics...) // of those who answered
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err == nil {
			l.h.Add(history.Op{
				Kind: history.End, Proc: procWatcher, Start: began, Outcome: history.OK, LeaderEpoch: o.LeaderEpoch, Offset: o.Offset,
				Partition: history.Partition{Topic: o.Topic, Partition: o.Partition},
			})
		}
	})
}

func (l *load) askCommitted(ctx context.Context, admin *kadm.Client) {
	began := l.h.Now()
	told, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return
	}
	for _, t := range loadTopics {
		for p := range int32(loadPartitions) {
			op := history.Op{Kind: history.Committed, Proc: procWatcher, Start: began, Outcome: history.OK, Group: group, Offset: -1, Partition: history.Partition{Topic: t, Partition: p}}
			if o, ok := told.Lookup(t, p); ok {
				if o.Err != nil {
					continue
				}
				op.Offset = o.At
			}
			l.h.Add(op)
		}
	}
}

// progress is how far the group has committed.
type progress struct {
	mu sync.Mutex // guards at
	at map[history.Partition]int64
}

func newProgress() *progress { return &progress{at: map[history.Partition]int64{}} }

func (p *progress) committed(tp history.Partition, offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at[tp] = max(p.at[tp], offset)
}

func (p *progress) reached(ends map[history.Partition]int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for tp, end := range ends {
		if p.at[tp] < end {
			return fmt.Errorf("the group is at %d of %d in %s", p.at[tp], end, tp)
		}
	}
	return nil
}
