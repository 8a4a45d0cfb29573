package kraft

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft/raftnet"
	"github.com/distributedmq/dmq/protocol"
)

// Progress is how far another member has come, as the leader knows it.
type Progress struct {
	LastIndex int64     // of its log, as it said last; -1: it has said nothing
	Contact   time.Time // when it last answered; zero: never
	CaughtUp  time.Time // when it last had everything that this leader had; zero: never
}

// progressTransport is a Transport that keeps account of the answers to AppendEntries, plain and pipelined, and holds back calls
// to members that do not answer. raft itself would try them less and less often, at last every ten seconds, and so would not
// notice for a while that a member is back; its heartbeats, which it sends in any case, tell.
type progressTransport struct {
	Transport
	logger *slog.Logger
	last   func() uint64 // index of this node's log
	stop   chan struct{} // closed when nothing may be held back any more

	mu       sync.Mutex // guards the fields below
	peers    map[hraft.ServerID]*peer
	released chan struct{} // closed and replaced when leadership or membership may have changed
	stopped  bool
}

// peer is what is known of one member.
type peer struct {
	Progress
	back chan struct{} // not nil while the member does not answer; closed when it does again
}

func newProgressTransport(inner Transport, logger *slog.Logger, last func() uint64) *progressTransport {
	return &progressTransport{
		Transport: inner, logger: logger, last: last, stop: make(chan struct{}),
		peers: make(map[hraft.ServerID]*peer), released: make(chan struct{}),
	}
}

// Of is the progress of one member since reset.
func (t *progressTransport) Of(id protocol.NodeID) Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[raftID(id)]; p != nil {
		return p.Progress
	}
	return Progress{LastIndex: -1}
}

func (t *progressTransport) peerLocked(id hraft.ServerID) *peer {
	p := t.peers[id]
	if p == nil {
		p = &peer{Progress: Progress{LastIndex: -1}}
		t.peers[id] = p
	}
	return p
}

// reset forgets what the members said to an earlier leadership of this node.
func (t *progressTransport) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.peers {
		p.Progress = Progress{LastIndex: -1}
	}
}

// answered notes an answer to a request that was sent when this node's log ended at end.
func (t *progressTransport) answered(id hraft.ServerID, end uint64, resp *hraft.AppendEntriesResponse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peerLocked(id)
	now := time.Now()
	p.LastIndex, p.Contact = int64(resp.LastLog), now
	if resp.LastLog >= end {
		p.CaughtUp = now
	}
	if p.back != nil {
		close(p.back)
		p.back = nil
		t.logger.Info("member of the quorum answers again", slog.String("event", "quorum.peer.up"), slog.String("peer", string(id)))
	}
}

func (t *progressTransport) failed(id hraft.ServerID, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peerLocked(id)
	if p.back == nil && !t.stopped {
		p.back = make(chan struct{})
		t.logger.Warn("member of the quorum does not answer", slog.String("event", "quorum.peer.down"), slog.String("peer", string(id)), slog.Any("err", err))
	}
}

// release lets go of the calls that are held back.
func (t *progressTransport) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.released)
	t.released = make(chan struct{})
}

// stopHolding lets go of all calls, now and later.
func (t *progressTransport) stopHolding() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped {
		t.stopped = true
		close(t.stop)
	}
}

var errNotBack = errors.New("the member does not answer")

// await returns when the member answers heartbeats, at once if it was never found not to.
func (t *progressTransport) await(id hraft.ServerID) error {
	t.mu.Lock()
	back, released := t.peerLocked(id).back, t.released
	t.mu.Unlock()
	if back == nil {
		return nil
	}
	select {
	case <-back:
		return nil
	case <-released:
		return errNotBack
	case <-t.stop:
		return errNotBack
	}
}

// AppendEntries implements hraft.Transport.
func (t *progressTransport) AppendEntries(id hraft.ServerID, target hraft.ServerAddress, args *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) error {
	if !raftnet.IsHeartbeat(args) {
		if err := t.await(id); err != nil {
			return err
		}
	}
	end := t.last()
	if err := t.Transport.AppendEntries(id, target, args, resp); err != nil {
		t.failed(id, err)
		return err
	}
	t.answered(id, end, resp)
	return nil
}

// AppendEntriesPipeline implements hraft.Transport.
func (t *progressTransport) AppendEntriesPipeline(id hraft.ServerID, target hraft.ServerAddress) (hraft.AppendPipeline, error) {
	inner, err := t.Transport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	p := &progressPipeline{AppendPipeline: inner, t: t, id: id, out: make(chan hraft.AppendFuture), done: make(chan struct{})}
	p.wg.Go(p.note)
	return p, nil
}

// progressPipeline notes the answers that come out of a pipeline.
type progressPipeline struct {
	hraft.AppendPipeline
	t    *progressTransport
	id   hraft.ServerID
	out  chan hraft.AppendFuture
	done chan struct{}
	once sync.Once
	wg   sync.WaitGroup
}

func (p *progressPipeline) note() {
	for {
		select {
		case f := <-p.AppendPipeline.Consumer():
			if err := f.Error(); err != nil {
				p.t.failed(p.id, err)
			} else {
				req := f.Request()
				p.t.answered(p.id, max(p.t.last(), req.PrevLogEntry+uint64(len(req.Entries))), f.Response())
			}
			select {
			case p.out <- f:
			case <-p.done:
				return
			}
		case <-p.done:
			return
		}
	}
}

// Consumer implements hraft.AppendPipeline.
func (p *progressPipeline) Consumer() <-chan hraft.AppendFuture { return p.out }

// Close implements hraft.AppendPipeline.
func (p *progressPipeline) Close() error {
	var err error
	p.once.Do(func() {
		err = p.AppendPipeline.Close()
		close(p.done)
		p.wg.Wait()
	})
	return err
}
