package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	loadTopics     = 3
	loadPartitions = 4
	producers      = 4
)

func topicName(i int) string { return fmt.Sprintf("load-%d", i) }

// prepare creates the topics of the load.
func prepare(ctx context.Context, addr string, l *ledger) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	admin := kadm.NewClient(cl)
	defer admin.Close()
	segment := "1048576"
	for i := range loadTopics {
		configs := map[string]*string{}
		if i == 1 {
			configs["segment.bytes"] = &segment // rolls while it runs
		}
		resp, err := admin.CreateTopic(ctx, loadPartitions, 1, configs, topicName(i))
		if err != nil || resp.Err != nil {
			return errors.Join(err, resp.Err)
		}
		l.created(topicName(i), resp.ID)
	}
	return nil
}

// load writes, reads and creates topics until its context ends, and notes every promise. Errors are how it notices the
// crash: they promise nothing and are not faults.
func load(ctx context.Context, addr string, round int, l *ledger) {
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() { produce(ctx, addr, fmt.Sprintf("round %d producer %d", round, p), p%2 == 0, l) })
	}
	wg.Go(func() { consume(ctx, addr, l) })
	wg.Go(func() { createTopics(ctx, addr, round, l) })
	wg.Wait()
}

func produce(ctx context.Context, addr, tag string, idempotent bool, l *ledger) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(addr), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(2000),
		kgo.ProducerLinger(0), kgo.RecordDeliveryTimeout(10 * time.Second),
	}
	if !idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return
	}
	defer cl.Close()
	rng := rand.New(rand.NewPCG(uint64(len(tag)), uint64(tag[len(tag)-1])))
	for n := 0; ctx.Err() == nil; n++ {
		r := &kgo.Record{Topic: topicName(rng.IntN(loadTopics)), Partition: rng.Int32N(loadPartitions)}
		head := fmt.Sprintf("%s record %d ", tag, n)
		r.Value = []byte(head + strings.Repeat("x", rng.IntN(1500)))
		cl.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err == nil {
				l.ack(place{r.Topic, r.Partition, r.Offset}, brief(r.Value))
			}
		})
	}
}

// brief is what the ledger keeps of a value: its head, which is unique, and its length.
func brief(v []byte) string {
	head, _, _ := strings.Cut(string(v), " x")
	return fmt.Sprintf("%s, %d bytes", strings.TrimRight(head, "x "), len(v))
}

func everywhere() map[string]map[int32]kgo.Offset {
	m := map[string]map[int32]kgo.Offset{}
	for i := range loadTopics {
		m[topicName(i)] = map[int32]kgo.Offset{}
		for p := range int32(loadPartitions) {
			m[topicName(i)][p] = kgo.NewOffset().AtStart()
		}
	}
	return m
}

// consume reads the newest records and notes what it was shown.
func consume(ctx context.Context, addr string, l *ledger) {
	from := everywhere()
	for _, ps := range from {
		for p := range ps {
			ps[p] = kgo.NewOffset().AtEnd()
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumePartitions(from))
	if err != nil {
		return
	}
	defer cl.Close()
	for ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { l.show(place{r.Topic, r.Partition, r.Offset}, brief(r.Value)) })
	}
}

func createTopics(ctx context.Context, addr string, round int, l *ledger) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return
	}
	admin := kadm.NewClient(cl)
	defer admin.Close()
	for n := 0; ctx.Err() == nil && n < 100; n++ {
		name := fmt.Sprintf("made-%d-%d", round, n)
		if resp, err := admin.CreateTopic(ctx, 1, 1, nil, name); err == nil && resp.Err == nil {
			l.created(name, resp.ID)
		}
	}
}

// held reads everything the broker has.
func held(ctx context.Context, addr string) (map[place]string, map[string][16]byte, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumePartitions(everywhere()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, nil, err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	admin := kadm.NewClient(cl)
	ends, err := settledEnds(ctx, admin)
	if err != nil {
		return nil, nil, err
	}
	out := map[place]string{}
	done := func() bool {
		for _, o := range ends {
			if o > 0 {
				return false
			}
		}
		return true
	}
	var faults error
	for !done() {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			return nil, nil, fmt.Errorf("read everything: %w", err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			p := place{r.Topic, r.Partition, r.Offset}
			if _, twice := out[p]; twice {
				faults = fmt.Errorf("%s-%d at %d was delivered twice", r.Topic, r.Partition, r.Offset)
			}
			out[p] = brief(r.Value)
			key := fmt.Sprintf("%s-%d", r.Topic, r.Partition)
			if ends[key] == r.Offset+1 {
				ends[key] = 0
			}
		})
	}
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, nil, err
	}
	ids := map[string][16]byte{}
	for _, t := range topics {
		ids[t.Topic] = t.ID
	}
	return out, ids, faults
}

// settledEnds waits until every partition tells its end: a broker that has just started opens them one after the other.
func settledEnds(ctx context.Context, admin *kadm.Client) (map[string]int64, error) {
	names := make([]string, loadTopics)
	for i := range names {
		names[i] = topicName(i)
	}
	for {
		list, err := admin.ListEndOffsets(ctx, names...)
		if err == nil {
			err = list.Error()
		}
		ends := map[string]int64{}
		list.Each(func(o kadm.ListedOffset) { ends[fmt.Sprintf("%s-%d", o.Topic, o.Partition)] = o.Offset })
		if err == nil && len(ends) == loadTopics*loadPartitions {
			return ends, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("list the ends after the restart: %w (%d partitions)", errors.Join(ctx.Err(), err), len(ends))
		}
	}
}
