package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

const (
	// batchLimit bounds the requests decided on one expected image.
	batchLimit = 256
	// activationPause is the time before a controller that could not become active tries again.
	activationPause = 100 * time.Millisecond
	// triesLimit bounds how often a request is decided anew because another command came between.
	triesLimit = 10
)

// Run decides requests until ctx ends, and fails when this program is too old for the cluster's metadata.
func (c *Controller) Run(ctx context.Context) error {
	defer close(c.stopped)
	alive, cancelProbes := context.WithCancel(ctx)
	c.probes.begin(alive)
	defer c.probes.end()
	defer cancelProbes()
	changes, cancel := c.o.Quorum.LeadershipChanges()
	defer cancel()
	for ctx.Err() == nil {
		leader, term, _ := c.o.Quorum.Leader()
		if leader != c.o.NodeID {
			c.standBy(ctx, changes, nil)
			continue
		}
		v, err := c.activate(ctx)
		switch {
		case err == nil:
			c.lead(ctx, changes, v, term)
		case errcode.KindOf(err) == errcode.KindUnsupportedVersion:
			return err
		case ctx.Err() == nil: // not leader any more, or about to notice
			c.logger.Warn("controller could not become active", slog.Any("err", err))
			c.standBy(ctx, changes, time.After(activationPause))
		}
	}
	return nil
}

// standBy refuses requests until leadership may have changed, or it is time to look again.
func (c *Controller) standBy(ctx context.Context, changes <-chan struct{}, again <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			return
		case <-again:
			return
		case r := <-c.requests:
			r.done <- answer{err: c.notLeader()}
		}
	}
}

func (c *Controller) notLeader() error {
	leader, _, _ := c.o.Quorum.Leader()
	if leader == c.o.NodeID { // it leads again, but the request belongs to an earlier term
		leader = -1
	}
	return &kraft.NotLeaderError{Leader: leader}
}

// activate applies what the leaders before committed, begins sessions and registers this controller.
func (c *Controller) activate(ctx context.Context) (*view, error) {
	if err := c.o.Quorum.Activate(ctx); err != nil {
		return nil, fmt.Errorf("catch up as the new controller: %w", err)
	}
	img := c.o.Quorum.Image()
	for _, name := range slices.Sorted(maps.Keys(img.Features)) {
		if r := c.o.Features[name]; img.Features[name] > r.Max || img.Features[name] < r.Min {
			return nil, errcode.New(errcode.KindUnsupportedVersion,
				"the cluster's %s is %d, this program supports %s; run a version of dmq that supports it", name, img.Features[name], formatRange(r))
		}
	}
	c.sessions.reset(img, time.Now())
	if records := c.activation(img); len(records) > 0 {
		if _, err := c.o.Quorum.ProposeAt(img.Revision, records).Wait(); err != nil {
			return nil, fmt.Errorf("register the controller: %w", err)
		}
	}
	c.logger.Info("controller active", slog.String("event", "controller.active"), slog.Int64("metadata_version", c.o.Quorum.Image().Version))
	return newView(c.o.Quorum.Image()), nil
}

// activation is what a new controller changes: its own registration, and the metadata.version of a new cluster.
func (c *Controller) activation(img *image.Image) []metadata.Record {
	var records []metadata.Record
	if r, ok := c.o.Features[MetadataVersion]; ok && img.Features[MetadataVersion] == 0 {
		records = append(records, &metadata.FeatureLevelRecord{Name: MetadataVersion, Level: r.Max})
	}
	self := img.Controllers[c.o.NodeID]
	if self == nil || self.IncarnationID != c.o.IncarnationID || !slices.Equal(self.Endpoints, c.o.Endpoints) || !maps.Equal(self.Features, c.o.Features) {
		records = append(records, &metadata.RegisterControllerRecord{
			ID: c.o.NodeID, IncarnationID: c.o.IncarnationID, DirectoryID: c.decider.directory(c.o.NodeID),
			Endpoints: c.o.Endpoints, Features: c.o.Features,
		})
	}
	return records
}

// lead decides requests while this node leads in this term.
func (c *Controller) lead(ctx context.Context, changes <-chan struct{}, v *view, term int64) {
	timer := time.NewTimer(c.sessions.timeout)
	defer timer.Stop()
	balance := newBalancer(c.o.Settings.RebalanceInterval)
	defer balance.timer.Stop()
	c.active.Store(true)
	defer c.active.Store(false)
	c.doubtAll(v.img)
	var again []*request // to be decided anew
	for {
		batch := again
		if len(batch) == 0 {
			id, at, ok := c.sessions.next(c.o.Quorum.Image(), time.Now())
			if ok {
				timer.Reset(time.Until(at))
			} else {
				timer.Stop()
			}
			select {
			case <-ctx.Done():
				return
			case <-changes:
				if leader, now, _ := c.o.Quorum.Leader(); leader != c.o.NodeID || now != term {
					c.logger.Info("controller no longer active", slog.String("event", "controller.inactive"))
					return
				}
				continue
			case <-timer.C:
				if now := time.Now(); now.Sub(at) > c.sessions.timeout/4 {
					// This process stood still, and with it whatever reads the brokers' heartbeats: they get another session.
					c.logger.Warn("controller overslept, sessions begin anew", slog.Duration("dur", now.Sub(at)))
					c.sessions.renew(c.o.Quorum.Image(), now)
					continue
				}
				batch = []*request{c.expiry(id)}
			case <-balance.timer.C:
				batch = []*request{c.balancing(balance)}
			case r := <-c.requests:
				batch = []*request{r}
			}
		}
		batch = c.gather(batch)
		var ok bool
		if v, again, ok = c.decide(ctx, v, batch); !ok {
			for _, r := range again {
				r.done <- answer{err: c.notLeader()}
			}
			return
		}
	}
}

// gather adds the requests that are waiting.
func (c *Controller) gather(batch []*request) []*request {
	for len(batch) < batchLimit {
		select {
		case r := <-c.requests:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// expiry is the request to fence a broker whose session has ended.
func (c *Controller) expiry(id protocol.NodeID) *request {
	return &request{
		name: "session timeout", done: make(chan answer, 1),
		decide: func(v *view, now time.Time) (decision, error) {
			d := c.decider.fenceStale(v, id, now)
			if len(d.records) > 0 {
				c.logger.Warn("broker fenced: its session has timed out", slog.String("event", "broker.fenced"), slog.Int("broker", int(id)))
			}
			return d, nil
		},
	}
}

// decided is a request with its decision and, when that changes anything, its proposal.
type decided struct {
	*request
	decision
	err      error
	proposal *kraft.Proposal
	elected  []heldElection // by what is proposed
}

// decide decides a batch of requests, each on the expected outcome of those before, proposes what they change, waits for all
// of it and answers. It returns the requests that must be decided again and the view to decide them on; ok is false when
// leadership was lost.
func (c *Controller) decide(ctx context.Context, v *view, batch []*request) (_ *view, again []*request, ok bool) {
	if current := c.o.Quorum.Image(); current != v.img {
		v = newView(current) // a command that is not ours
	}
	done, expected := c.propose(v, batch)
	clean, failed := true, error(nil)
	proposed := slices.ContainsFunc(done, func(d *decided) bool { return d.proposal != nil })
	if !proposed {
		// Nothing to commit, which would have shown that this node still leads: a deposed leader must not answer from what
		// it last knew.
		failed = c.o.Quorum.VerifyLeader(ctx)
	}
	for _, d := range done {
		if d.proposal == nil {
			continue
		}
		if _, err := d.proposal.Wait(); err != nil {
			clean = false
			d.err = err
			if !void(err) && failed == nil {
				failed = err
			}
		}
	}
	img := c.o.Quorum.Image()
	c.sessions.sync(img)
	again = c.answer(done, img, failed, !proposed)
	if clean && img.Revision == expected {
		v.img = img
	} else {
		v = newView(img)
	}
	return v, again, failed == nil
}

// propose decides the requests in order. It returns the revision that the image should have afterwards.
func (c *Controller) propose(v *view, batch []*request) (done []*decided, revision int64) {
	now := time.Now()
	committed := v.img
	revision = committed.Revision
	b := image.NewBuilder(committed)
	for i, r := range batch {
		d := &decided{request: r}
		done = append(done, d)
		if r.abandoned.Load() {
			d.err = context.Canceled // nobody reads it
			continue
		}
		if d.decision, d.err = r.decide(v, now); d.err != nil || len(d.records) == 0 {
			continue
		}
		d.elected = electionsIn(v.img, d.records)
		v.expect(d.records)
		if i < len(batch)-1 { // somebody will decide on the outcome
			// The position is not known yet. What is decided on a broker epoch made of this one is void later, and decided again.
			if err := b.Apply(math.MaxInt64, &metadata.Command{Records: d.records}); err != nil {
				d.err = fmt.Errorf("%s decided what does not fit: %w", r.name, err)
				c.logger.Error("controller decision does not fit the metadata", slog.String("request", r.name), slog.Any("err", err))
				*v = *newView(b.Image())
				continue
			}
			v.img = b.Image()
		}
		d.proposal = c.o.Quorum.ProposeAt(revision, d.records)
		revision++
	}
	return done, revision
}

// void reports whether a command was not applied because others came between, so that its request can be decided again.
func void(err error) bool {
	var rejected *image.RejectedError
	return errors.Is(err, image.ErrStaleRevision) || errors.As(err, &rejected)
}

// answer answers what was decided. From the first command that failed on, decisions rested on something that did not come
// to be: those requests are decided again or, when leadership was lost, refused.
func (c *Controller) answer(done []*decided, img *image.Image, failed error, unproposed bool) (again []*request) {
	broken := failed != nil && unproposed
	for _, d := range done {
		lost := d.proposal != nil && d.err != nil
		broken = broken || lost
		switch {
		case !broken && d.err != nil:
			d.done <- answer{err: d.err}
		case !broken:
			c.elected(d.elected)
			d.done <- answer{resp: d.respond(img)}
		case lost && !void(d.err):
			d.done <- answer{err: d.err}
		case failed != nil:
			d.done <- answer{err: c.notLeader()}
		default:
			if d.tries++; d.tries > triesLimit {
				d.done <- answer{err: errcode.New(errcode.KindRequestTimedOut, "%s: the metadata changes too fast to decide", d.name)}
			} else {
				again = append(again, d.request)
			}
		}
	}
	return again
}
