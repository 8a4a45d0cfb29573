package kraft

import (
	"context"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft/metadata"
)

// Proposal is a command on its way. Wait must be called exactly once.
type Proposal struct {
	q      *Quorum
	future hraft.ApplyFuture
	err    error
}

// Propose commits records as one command and returns its position once this node has applied it.
func (q *Quorum) Propose(ctx context.Context, records []metadata.Record) (int64, error) {
	p := q.propose(&metadata.Command{Records: records})
	return p.waitContext(ctx)
}

// ProposeAt starts to commit records as one command that is void (image.ErrStaleRevision) unless exactly revision
// commands were applied before it. Several may be under way at once, each counting on the one before.
func (q *Quorum) ProposeAt(revision int64, records []metadata.Record) *Proposal {
	return q.propose(&metadata.Command{Records: records, Conditional: true, Revision: revision})
}

func (q *Quorum) propose(c *metadata.Command) *Proposal {
	q.mu.Lock()
	if q.closing {
		q.mu.Unlock()
		return &Proposal{q: q, err: ErrClosed}
	}
	q.inflight.Add(1)
	q.pending++
	q.mu.Unlock()
	return &Proposal{q: q, future: q.raft.Apply(c.Encode(), 0)}
}

// Wait returns the command's position in the metadata log once it is committed and applied here.
func (p *Proposal) Wait() (int64, error) {
	if p.err != nil {
		return 0, p.err
	}
	err := p.future.Error()
	p.q.settled(err == nil)
	if err != nil {
		return 0, p.q.mapError(err)
	}
	if err, ok := p.future.Response().(error); ok {
		return 0, err
	}
	return int64(p.future.Index()), nil
}

// settled counts a proposal as done. After the last one under way an empty command follows where there are other nodes:
// followers learn of a commit only with the next entry, or after the commit timeout.
func (q *Quorum) settled(committed bool) {
	q.mu.Lock()
	q.pending--
	last := q.pending == 0
	q.mu.Unlock()
	defer q.inflight.Done()
	if others, _ := q.hasPeers(); committed && last && others {
		q.raft.Apply(nil, 0) // nobody waits for it
	}
}

func (p *Proposal) waitContext(ctx context.Context) (index int64, err error) {
	if p.err != nil {
		return 0, p.err
	}
	type result struct {
		index int64
		err   error
	}
	done := make(chan result, 1)
	go func() { // ends with the proposal; Close waits for it through inflight
		index, err := p.Wait()
		done <- result{index, err}
	}()
	select {
	case r := <-done:
		return r.index, r.err
	case <-ctx.Done():
		return 0, &OutcomeUnknownError{Err: context.Cause(ctx)}
	}
}

// await runs a call into raft that cannot be interrupted.
func (q *Quorum) await(ctx context.Context, call func() error) error {
	q.mu.Lock()
	if q.closing {
		q.mu.Unlock()
		return ErrClosed
	}
	q.inflight.Add(1)
	q.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		defer q.inflight.Done()
		done <- call()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
