package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// commitInterval is how long what was printed stays uncommitted at most: people look at the lag meanwhile.
	commitInterval = time.Second
	// leaveTimeout bounds the last commit and leaving the group.
	leaveTimeout = 5 * time.Second
)

// groupReader is a member of a group that prints what it is given. It commits what it has printed, and nothing else: a
// record is printed again rather than lost.
type groupReader struct {
	a     *app
	o     consumeOptions
	begin position

	first, last, timed kadm.ListedOffsets // of all topics, as they were at the start

	mu    sync.Mutex // guards the fields below, which rebalances change
	open  map[topicPartition]bool
	given bool   // partitions were assigned at least once
	done  func() // called when everything that was given is read; with --follow, never
}

func (a *app) consumeGroup(ctx context.Context, topics []string, begin position, show printer, o consumeOptions) error {
	if len(o.partitions) > 0 {
		return usage("leave out --partition: the group decides who reads what", "--group and --partition cannot be used together")
	}
	// Whoever reads what is printed may stop reading. A member that the signal ended would be waited for by the others until
	// its session ends.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	r := &groupReader{a: a, o: o, begin: begin, open: make(map[topicPartition]bool), done: func() {}}
	opts, err := r.options()
	if err != nil {
		return err
	}
	cl, err := a.client(ctx, opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := r.prepare(ctx, cl, topics); err != nil {
		return err
	}
	err = r.read(ctx, cl, topics, show)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if commitErr := cl.CommitMarkedOffsets(bounded); commitErr != nil && (err == nil || ctx.Err() != nil) {
		err = &failure{code: codeFailed, what: "the last commit failed: " + commitErr.Error(), next: "Some records will be read again by the group", cause: commitErr}
	}
	cl.AllowRebalance()
	_ = cl.LeaveGroupContext(bounded) // who cannot leave is left behind when its session ends
	return err
}

// options are those of a member. Of the classic assignors all are offered, so that it can join a group of any clients.
func (r *groupReader) options() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(r.o.group), kgo.KeepControlRecords(), kgo.FetchMaxWait(time.Second), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(commitInterval), kgo.BlockRebalanceOnPoll(), kgo.AdjustFetchOffsetsFn(r.assigned), kgo.OnPartitionsRevoked(r.revoked), kgo.OnPartitionsLost(r.lost),
	}
	if r.o.committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	switch r.o.groupProtocol {
	case "classic":
		return append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer(), kgo.RangeBalancer(), kgo.RoundRobinBalancer(), kgo.StickyBalancer())), nil
	case "consumer":
		return append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())), nil
	}
	return nil, usage("choose classic or consumer", "unknown group protocol %q", r.o.groupProtocol)
}

// prepare checks that the topics exist, and finds where they begin and end.
func (r *groupReader) prepare(ctx context.Context, cl *kgo.Client, topics []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.a.timeout))
	defer cancel()
	adm := kadm.NewClient(cl)
	if r.o.groupProtocol == "consumer" {
		versions, err := adm.ApiVersions(ctx)
		if err != nil {
			return err
		}
		for _, v := range versions {
			if newest, ok := v.KeyMaxVersion(kmsg.ConsumerGroupHeartbeat.Int16()); !ok || newest < 1 {
				return &failure{code: codeFailed, kafka: kerr.UnsupportedVersion.Message, what: "this cluster does not serve the consumer group protocol", next: "Use the other one: --group-protocol classic"}
			}
		}
	}
	if _, err := existing(ctx, adm, topics); err != nil {
		return err
	}
	var err error
	r.first, r.last, r.timed, err = bounds(ctx, adm, topics, r.begin)
	return err
}

// assigned is called when partitions were given to this member, with the offsets that the group has committed.
func (r *groupReader) assigned(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t, partitions := range offsets {
		for p, o := range partitions {
			r.given = true
			from, to, ok := window(r.begin, t, p, r.first, r.last, r.timed)
			if !ok {
				continue // a partition that has come since: all of it is new
			}
			if at := o.EpochOffset().Offset; at >= 0 {
				from = at
			} else {
				partitions[p] = kgo.NewOffset().At(from)
			}
			if from < to {
				r.open[topicPartition{t, p}] = true
			}
		}
	}
	r.checkDoneLocked()
	return offsets, nil
}

// revoked is called before partitions are given to other members: what was printed is committed for them to continue.
func (r *groupReader) revoked(ctx context.Context, cl *kgo.Client, partitions map[string][]int32) {
	if err := cl.CommitMarkedOffsets(ctx); err != nil && ctx.Err() == nil {
		r.a.say("The commit before giving partitions away failed: %s\n", err)
	}
	r.lost(ctx, cl, partitions)
}

func (r *groupReader) lost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t, list := range partitions {
		for _, p := range list {
			delete(r.open, topicPartition{t, p})
		}
	}
	r.checkDoneLocked()
}

func (r *groupReader) checkDoneLocked() {
	if r.given && len(r.open) == 0 && !r.o.follow {
		r.done()
	}
}

// passed notes that a record was read.
func (r *groupReader) passed(rec *kgo.Record) {
	end, ok := r.last.Lookup(rec.Topic, rec.Partition)
	if !ok || rec.Offset+1 < end.Offset {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, topicPartition{rec.Topic, rec.Partition})
	r.checkDoneLocked()
}

// read prints until everything that was given is read, or for ever.
func (r *groupReader) read(ctx context.Context, cl *kgo.Client, topics []string, show printer) error {
	reading, done := context.WithCancel(ctx)
	defer done()
	r.mu.Lock()
	r.done = done
	r.mu.Unlock()
	cl.AddConsumeTopics(topics...)
	if !r.o.follow {
		idle := time.AfterFunc(time.Duration(r.a.timeout), func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if !r.given {
				done()
			}
		})
		defer idle.Stop()
	}
	out := bufio.NewWriterSize(r.a.out, 64<<10)
	printed := int64(0)
	for {
		limit := 0
		if r.o.count > 0 {
			limit = int(min(r.o.count-printed, 10_000))
		}
		fetches := cl.PollRecords(reading, limit)
		n, err := r.print(out, fetches, show)
		if printed += n; err != nil {
			return err
		}
		cl.MarkCommitRecords(fetches.Records()...)
		switch {
		case r.o.count > 0 && printed >= r.o.count:
			return nil
		case reading.Err() != nil:
			return r.ended(ctx)
		}
		if err := r.failed(ctx, cl, fetches.Errors()); err != nil {
			return err
		}
		cl.AllowRebalance()
	}
}

// print writes records and flushes them. It returns how many it has printed: control records are not.
func (r *groupReader) print(out *bufio.Writer, fetches kgo.Fetches, show printer) (int64, error) {
	var line []byte
	n := int64(0)
	for it := fetches.RecordIter(); !it.Done(); {
		rec := it.Next()
		if !rec.Attrs.IsControl() {
			line = show(line[:0], rec)
			if _, err := out.Write(line); err != nil {
				return n, err
			}
			n++
		}
		r.passed(rec)
	}
	return n, out.Flush()
}

// ended says why reading is over.
func (r *groupReader) ended(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.given {
		return &failure{
			code: codeUnreachable, what: fmt.Sprintf("group %q gave this member nothing to read within %s", r.o.group, time.Duration(r.a.timeout)),
			next: "See who has it: dmq group members " + r.o.group + "   Wait for ever: --follow",
		}
	}
	return nil
}

// failed picks the errors that cannot pass by themselves: the client goes on after all others.
func (r *groupReader) failed(ctx context.Context, cl *kgo.Client, errs []kgo.FetchError) error {
	for _, e := range errs {
		ke, ok := errors.AsType[*kerr.Error](e.Err)
		switch {
		case !ok || ke.Retriable:
		case errors.Is(ke, kerr.InconsistentGroupProtocol):
			return &failure{
				code: codeConflict, kafka: ke.Message, what: fmt.Sprintf("group %q does not take this member", r.o.group), why: "its members use another group protocol, or no assignor that this one knows",
				next: "See them: dmq group describe " + r.o.group + "   Try the other one: --group-protocol", cause: ke,
			}
		case errors.Is(ke, kerr.UnknownMemberID), errors.Is(ke, kerr.IllegalGeneration), errors.Is(ke, kerr.FencedMemberEpoch), errors.Is(ke, kerr.StaleMemberEpoch), errors.Is(ke, kerr.UnreleasedInstanceID):
			// The member joins again.
		case e.Topic != "":
			return topicFailure(ctx, kadm.NewClient(cl), e.Topic, e.Err, "")
		default:
			return groupFailure(ctx, kadm.NewClient(cl), r.o.group, e.Err, "")
		}
	}
	return nil
}
