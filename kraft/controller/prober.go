package controller

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// Prober asks at the address where a broker is a member of the quorum which process is there. ErrNobodyThere: the connection was refused, so the process is
// dead. Any other error: nothing is known.
type Prober interface {
	Probe(ctx context.Context, id protocol.NodeID) (incarnation protocol.TopicID, err error)
}

// ErrNobodyThere says that nothing listens at a broker's address: its process is dead.
var ErrNobodyThere = errors.New("nobody listens there")

const (
	// probeTimeout bounds one question to a broker.
	probeTimeout = time.Second
	// probePause is the first pause between two questions that got no answer; it doubles up to probePauseMost. A process that
	// has just been killed may still accept a connection while the kernel closes its sockets one after the other.
	probePause     = 10 * time.Millisecond
	probePauseMost = time.Second
)

// probes asks after brokers that may be dead. One goroutine for each broker in doubt, until the answer is certain or the
// broker's session has timed out by itself; all end with the controller.
type probes struct {
	prober Prober // nil: nobody is asked

	mu      sync.Mutex                             // guards the fields below
	launch  func(probe func(life context.Context)) // nil: nothing may start
	asking  map[protocol.NodeID]protocol.TopicID   // incarnations in doubt
	running sync.WaitGroup
}

// begin lets probes start until ctx ends; end waits for those under way.
func (p *probes) begin(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.launch = func(probe func(context.Context)) {
		p.running.Go(func() { probe(ctx) })
	}
	p.asking = make(map[protocol.NodeID]protocol.TopicID)
}

func (p *probes) end() {
	p.mu.Lock()
	p.launch = nil
	p.mu.Unlock()
	p.running.Wait()
}

// start asks after one incarnation of a broker, unless somebody does so already, and calls dead if its process is gone.
func (p *probes) start(b *image.Broker, patience time.Duration, dead func(life context.Context)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.prober == nil || p.launch == nil || p.asking[b.ID] == b.IncarnationID {
		return
	}
	p.asking[b.ID] = b.IncarnationID
	p.launch(func(life context.Context) {
		defer p.finished(b)
		ctx, cancel := context.WithTimeout(life, patience)
		defer cancel()
		if p.insist(ctx, b) == gone {
			dead(life)
		}
	})
}

func (p *probes) finished(b *image.Broker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asking[b.ID] == b.IncarnationID {
		delete(p.asking, b.ID)
	}
}

// finding is what is known of a process.
type finding int

const (
	unknown finding = iota
	alive
	gone
)

// ask asks once.
func (p *probes) ask(ctx context.Context, b *image.Broker) finding {
	if p.prober == nil {
		return unknown
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	incarnation, err := p.prober.Probe(ctx, b.ID)
	switch {
	case errors.Is(err, ErrNobodyThere), err == nil && incarnation != b.IncarnationID:
		return gone
	case err == nil:
		return alive
	default:
		return unknown
	}
}

// insist asks until the answer is certain or ctx ends.
func (p *probes) insist(ctx context.Context, b *image.Broker) finding {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := probePause; ; pause = min(2*pause, probePauseMost) {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return unknown
		}
		if f := p.ask(ctx, b); f != unknown {
			return f
		}
		timer.Reset(pause)
	}
}

// SessionOpened notes a broker's session connection. The returned function is called once, when the connection ends; goodbye
// says whether the broker announced it. Without a goodbye the process is probably dead, and the broker is asked.
func (c *Controller) SessionOpened(id protocol.NodeID, incarnation protocol.TopicID) (ended func(goodbye bool)) {
	c.sessions.connected(id, incarnation)
	return func(goodbye bool) {
		if last := c.sessions.disconnected(id, incarnation); last && !goodbye && c.active.Load() {
			c.doubt(id, incarnation)
		}
	}
}

// doubt asks after a broker and has it fenced if its process is gone.
func (c *Controller) doubt(id protocol.NodeID, incarnation protocol.TopicID) {
	b := c.o.Quorum.Image().Brokers[id]
	if b == nil || b.IncarnationID != incarnation {
		return
	}
	c.probes.start(b, c.sessions.timeout, func(life context.Context) { c.lost(life, b) })
}

// doubtAll asks after every unfenced broker that holds no session connection: a new controller has none yet.
func (c *Controller) doubtAll(img *image.Image) {
	for id, b := range img.Brokers {
		if !b.Fenced && !b.ByREST() && b.IncarnationID != c.o.IncarnationID && !c.sessions.isConnected(id, b.IncarnationID) {
			c.doubt(id, b.IncarnationID)
		}
	}
}

// lost has the loop fence an incarnation whose process is gone.
func (c *Controller) lost(ctx context.Context, b *image.Broker) {
	r := &request{name: "lost session", done: make(chan answer, 1), decide: func(v *view, _ time.Time) (decision, error) {
		d := c.decider.fenceLost(v, b.ID, b.IncarnationID)
		if len(d.records) > 0 {
			c.logger.Warn("broker fenced: its process is gone", slog.String("event", "broker.fenced"), slog.Int("broker", int(b.ID)))
		}
		return d, nil
	}}
	select {
	case c.requests <- r:
	case <-ctx.Done():
	}
}

// settlePredecessor finds out, before a broker registers anew, whether the incarnation that is registered lives: the caller's
// goroutine asks at the old address, so that the loop never waits. One whose process is gone has no session any more.
func (c *Controller) settlePredecessor(ctx context.Context, req *kmsg.BrokerRegistrationRequest) {
	b := c.o.Quorum.Image().Brokers[protocol.NodeID(req.BrokerID)]
	if b == nil || b.IncarnationID == protocol.TopicID(req.IncarnationID) || !c.sessions.valid(b.ID, b.Epoch, time.Now()) {
		return
	}
	if c.probes.ask(ctx, b) == gone {
		c.sessions.end(b.ID, b.Epoch)
	}
}
