package fetcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// loop fetches partitions from one leader over one connection.
type loop struct {
	f      *Fetcher
	leader protocol.NodeID
	index  int
	logger *slog.Logger
	ctx    func() context.Context // ends with the loop
	cancel context.CancelCauseFunc

	assigned int // partitions of this loop; guarded by Fetcher.mu

	mu     sync.Mutex  // guards the field below
	inbox  []*followed // opened, or to be dropped
	posted chan struct{}

	// Of the loop's goroutine.
	link     Link
	session  session
	waiting  []*followed // they are not fetched before followed.until
	touched  []*followed // of them something came in this round
	misfits  []*followed // their fetch offset is out of the leader's range
	failures int         // requests that came to nothing, in a row
	notUntil time.Time   // of the next interruption
}

func newLoop(f *Fetcher, k loopKey) *loop {
	ctx, cancel := context.WithCancelCause(f.ctx())
	return &loop{
		f: f, leader: k.leader, index: k.index,
		logger: f.logger.With(slog.Int("leader", int(k.leader)), slog.Int("fetcher", k.index)),
		ctx:    func() context.Context { return ctx }, cancel: cancel, posted: make(chan struct{}, 1),
	}
}

// post hands over a partition whose log was opened, or which is to be dropped.
func (l *loop) post(p *followed) {
	l.mu.Lock()
	l.inbox = append(l.inbox, p)
	l.mu.Unlock()
	select {
	case l.posted <- struct{}{}:
	default:
	}
}

// run fetches until the loop is cancelled.
func (l *loop) run() {
	ctx := l.ctx()
	defer l.cancel(nil)
	l.link = l.f.o.Link(l.leader, l.index)
	defer l.hangUp()
	for ctx.Err() == nil {
		l.takeInbox()
		next := l.wakeWaiting(time.Now())
		if len(l.session.parts) == 0 {
			l.pause(ctx, next)
			continue
		}
		l.round(ctx, next)
	}
}

func (l *loop) hangUp() {
	if err := l.link.Close(); err != nil {
		l.logger.Debug("close the link to a leader", slog.Any("err", err))
	}
}

// pause waits until something is posted, or until a time if that is not zero.
func (l *loop) pause(ctx context.Context, until time.Time) {
	var expired <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		expired = t.C
	}
	select {
	case <-l.posted:
	case <-expired:
	case <-ctx.Done():
	}
}

func (l *loop) takeInbox() {
	l.mu.Lock()
	posted := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for _, p := range posted {
		switch {
		case p.stopped.Load():
			l.session.drop(p)
			l.waiting = slices.DeleteFunc(l.waiting, func(q *followed) bool { return q == p })
		case p.opened != nil:
			l.trouble(p, p.opened)
		default:
			p.at = p.follower.Position()
			l.want(p)
		}
	}
}

// want has a partition fetched, or, where the quota of throttled ones is used up, after a pause. As in Kafka one that has caught up is
// not held back, so that it does not leave the in-sync replicas again and again.
func (l *loop) want(p *followed) {
	if now := time.Now(); p.throttled.Load() && p.lag.Load() != 0 && l.f.meter.Exceeded(now) {
		l.session.drop(p)
		p.until = now.Add(throttlePause)
		l.waiting = append(l.waiting, p)
		return
	}
	l.session.want(p)
}

// wakeWaiting has those fetched again that have waited long enough, and returns when the next of the others has.
func (l *loop) wakeWaiting(now time.Time) (next time.Time) {
	var due []*followed
	l.waiting = slices.DeleteFunc(l.waiting, func(p *followed) bool {
		if p.until.After(now) {
			return false
		}
		due = append(due, p)
		return true
	})
	for _, p := range due {
		switch {
		case p.stopped.Load():
		case p.follower == nil:
			l.f.reopen(p)
		default:
			p.at = p.follower.Position()
			l.want(p)
		}
	}
	for _, p := range l.waiting {
		if next.IsZero() || p.until.Before(next) {
			next = p.until
		}
	}
	return next
}

// round fetches once. next is when a partition that waits is due; zero: none is.
func (l *loop) round(ctx context.Context, next time.Time) {
	resp, err := l.fetch(ctx, next)
	if errors.Is(err, errNewcomers) {
		l.interrupt()
		return
	}
	if err != nil {
		l.session.restart()
		l.failed(ctx, err)
		return
	}
	if !l.session.answered(resp) {
		l.failed(ctx, &errcode.Error{Kind: errcode.Kind(resp.ErrorCode)})
		return
	}
	l.failures = 0
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			if p := l.session.parts[key{t.TopicID, t.Partitions[j].Partition}]; p != nil && !p.stopped.Load() {
				l.take(p, &t.Partitions[j])
			}
		}
	}
	l.settle(ctx)
	if len(l.misfits) > 0 {
		l.place(ctx, l.misfits)
		clear(l.misfits)
		l.misfits = l.misfits[:0]
	}
}

// fetch sends a request and waits for its answer.
func (l *loop) fetch(ctx context.Context, next time.Time) (*kmsg.FetchResponse, error) {
	c := &l.f.o.Config
	wait := c.MaxWait
	if !next.IsZero() {
		wait = min(wait, max(time.Until(next), 0))
	}
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID = int32(l.f.o.NodeID)
	req.ReplicaState.ID, req.ReplicaState.Epoch = int32(l.f.o.NodeID), int64(l.f.o.BrokerEpoch())
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(wait.Milliseconds()), c.MinBytes, c.ResponseMaxBytes
	l.session.build(req, c.MaxBytes)
	got, err := l.requestOrNewcomers(ctx, req, wait)
	if err != nil {
		return nil, err
	}
	l.f.totals.fetches.Add(1)
	resp, ok := got.(*kmsg.FetchResponse)
	if !ok {
		return nil, fmt.Errorf("fetch answered with %T", got)
	}
	if resp.Version < minFetchVersion {
		return nil, fmt.Errorf("leader answers fetches in version %d, which does not name topics by id", resp.Version)
	}
	return resp, nil
}

// minFetchVersion names topics by id.
const minFetchVersion = 13

func (l *loop) request(ctx context.Context, req kmsg.Request, wait time.Duration) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, l.f.o.Config.Timeout+wait)
	defer cancel()
	return l.link.Request(ctx, req)
}

// errNewcomers is why a fetch was not waited for.
var errNewcomers = errors.New("there are partitions that the fetch under way does not name")

// requestOrNewcomers is request for a fetch, which the leader may hold back for long: a partition that joins meanwhile is not
// in it, and whoever waits for the acknowledgement of its first record would wait as long. It fails with errNewcomers then.
func (l *loop) requestOrNewcomers(ctx context.Context, req kmsg.Request, wait time.Duration) (kmsg.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type answer struct {
		resp kmsg.Response
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		resp, err := l.request(ctx, req, wait)
		done <- answer{resp, err}
	}()
	var due <-chan time.Time
	for {
		select {
		case a := <-done:
			return a.resp, a.err
		case <-l.posted:
			if due == nil && l.newcomers() {
				t := time.NewTimer(time.Until(l.notUntil))
				defer t.Stop()
				due = t.C
			}
		case <-due:
			cancel(errNewcomers)
			a := <-done
			return a.resp, a.err
		}
	}
}

// newcomers reports whether partitions have joined.
func (l *loop) newcomers() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.inbox, func(p *followed) bool { return !p.stopped.Load() && p.opened == nil })
}

// How often a loop is interrupted at most while partitions keep coming: what follows costs both sides some microseconds for
// each partition that it fetches. One that comes alone is fetched at once.
const (
	interruptInterval     = 20 * time.Millisecond
	interruptPerPartition = 200 * time.Microsecond
)

// interrupt begins anew on another connection: the leader gives up the fetch on this one, and its session.
func (l *loop) interrupt() {
	l.hangUp()
	l.link = l.f.o.Link(l.leader, l.index)
	l.session.restart()
	l.notUntil = time.Now().Add(interruptInterval + time.Duration(len(l.session.parts))*interruptPerPartition)
}

// failed waits after a request that came to nothing.
func (l *loop) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	l.failures++
	l.f.countFailure(l.leader)
	level := slog.LevelDebug
	if l.failures == 1 {
		level = slog.LevelInfo // the metadata will soon say more
	}
	l.logger.Log(ctx, level, "fetch from a leader", slog.Int("failures", l.failures), slog.Any("err", err))
	t := time.NewTimer(backoff(l.failures, l.f.o.Config.Backoff))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// take appends what came of a partition.
func (l *loop) take(p *followed, got *kmsg.FetchResponseTopicPartition) {
	switch kind := errcode.Kind(got.ErrorCode); {
	case kind == errcode.KindOffsetOutOfRange:
		l.misfits = append(l.misfits, p)
		return
	case kind != errcode.KindNone:
		l.delay(p, &errcode.Error{Kind: kind})
		return
	}
	if d := &got.DivergingEpoch; d.Epoch >= 0 {
		l.moved(p, p.follower.Truncate(replica.EpochEnd{Epoch: protocol.LeaderEpoch(d.Epoch), EndOffset: d.EndOffset}))
		return
	}
	if len(got.RecordBatches) > 0 {
		if err := p.follower.Append(p.at.LogEndOffset, got.RecordBatches); err != nil {
			l.trouble(p, err)
			return
		}
		l.f.totals.bytes.Add(int64(len(got.RecordBatches)))
		if p.throttled.Load() {
			l.f.meter.Record(len(got.RecordBatches), time.Now())
		}
	}
	p.came = fetchedPartition{highWatermark: got.HighWatermark, logStartOffset: got.LogStartOffset, records: len(got.RecordBatches) > 0}
	l.touched = append(l.touched, p)
}

// settle waits until what was appended in this round is synced: the syncs run in parallel, so that this takes as long as
// the slowest. Then the logs take over the leader's offsets.
func (l *loop) settle(ctx context.Context) {
	for _, p := range l.touched {
		if err := p.follower.Advance(ctx, p.came.highWatermark, p.came.logStartOffset); err != nil {
			l.trouble(p, err)
			continue
		}
		was := p.at
		p.at = p.follower.Position()
		if p.came.records && p.at.LogEndOffset == was.LogEndOffset {
			l.delay(p, errNothingFits)
			continue
		}
		p.failures = 0
		p.failure.Store(nil)
		p.lag.Store(max(0, p.came.highWatermark-p.at.LogEndOffset))
		l.want(p)
	}
	clear(l.touched)
	l.touched = l.touched[:0]
}

// errNothingFits is about records of later leader epochs only, or half a batch.
var errNothingFits = errors.New("no batch of what the leader sent is of its leader epoch and whole")

// moved goes on after the log was made to fit the leader's; where that changed nothing, after a while.
func (l *loop) moved(p *followed, err error) {
	if err != nil {
		l.trouble(p, err)
		return
	}
	was := p.at
	p.at = p.follower.Position()
	if was == p.at {
		l.delay(p, errNotPlaced)
		return
	}
	l.logger.Info("made a log fit its leader's", p.attrs(slog.String("event", "replica.truncated"),
		slog.Int64("from", was.LogEndOffset), slog.Int64("to", p.at.LogEndOffset))...)
	l.session.want(p)
}

var errNotPlaced = errors.New("the leader refuses the fetch offset, and its leader epochs agree")

// trouble is an error of the log here.
func (l *loop) trouble(p *followed, err error) {
	switch {
	case l.ctx().Err() != nil:
	case replica.Over(err): // the metadata are about to say what comes next
		l.session.drop(p)
	case replica.Lasting(err):
		l.fail(p, err)
	default:
		l.delay(p, err)
	}
}

// fail stops following a partition. It is begun anew when the metadata of the partition change, and for all that may be done about it
// without those, after a long while.
func (l *loop) fail(p *followed, err error) {
	l.session.drop(p)
	l.f.totals.partitionFailures.Add(1)
	if p.failure.Swap(&err) == nil {
		l.logger.Error("stopped following a partition", p.attrs(slog.String("event", "replica.failed"), slog.Any("err", err))...)
	}
	p.follower = nil
	p.until = time.Now().Add(failurePause)
	l.waiting = append(l.waiting, p)
}

const failurePause = 10 * time.Second

// delay has a partition fetched again after a while.
func (l *loop) delay(p *followed, err error) {
	l.session.drop(p)
	p.failures++
	l.f.totals.partitionFailures.Add(1)
	p.until = time.Now().Add(backoff(p.failures, l.f.o.Config.Backoff))
	l.waiting = append(l.waiting, p)
	level := slog.LevelDebug
	if p.failures >= noted(err) && p.failures&(p.failures-1) == 0 { // more and more rarely
		level = slog.LevelWarn
	}
	l.logger.Log(l.ctx(), level, "follow a partition", p.attrs(slog.Int("failures", p.failures), slog.Any("err", err))...)
}

// noted is after how many failures an error is worth a line: what is expected to pass, after several seconds.
func noted(err error) int {
	if transient(errcode.KindOf(err)) {
		return 16
	}
	return 1
}

// transient reports whether a leader's error is one that metadata on their way explain.
func transient(kind errcode.Kind) bool {
	switch kind {
	case errcode.KindNotLeaderForPartition, errcode.KindUnknownLeaderEpoch, errcode.KindFencedLeaderEpoch,
		errcode.KindUnknownTopicID, errcode.KindUnknownTopicOrPartition, errcode.KindInconsistentTopicID:
		return true
	default:
		return false
	}
}
