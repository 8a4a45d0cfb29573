package groups

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/bench/raw"
)

// Broker is what is measured.
type Broker struct {
	Addr string
	PID  int
}

// Load is one kind of request, sent as fast as the broker answers.
type Load struct {
	Name        string
	Connections int
	InFlight    int // requests of a connection, each of a group of its own
	kind        kind
}

// Rate is what a load came to.
type Rate struct {
	Requests  int
	Took, CPU time.Duration // CPU of the broker
}

// PerSecond is the throughput.
func (r Rate) PerSecond() float64 { return float64(r.Requests) / r.Took.Seconds() }

// PerCPUSecond is what the broker does in a second of its CPU time.
func (r Rate) PerCPUSecond() float64 { return float64(r.Requests) / r.CPU.Seconds() }

// Loads returns all loads: each kind of request once as many consumers send it, one at a time over a connection each, and
// once as pipelined by a few connections.
func Loads() []Load {
	kinds := []struct {
		name string
		kind
	}{
		{"Heartbeat", kind{join: joinClassic, leave: leaveClassic, request: func(m *member) request { return requestOf(heartbeatOf(m), heartbeatCode) }}},
		{"ConsumerGroupHeartbeat", kind{join: joinConsumer, leave: leaveConsumer, request: func(m *member) request { return requestOf(consumerHeartbeatOf(m, m.epoch), consumerCode) }}},
		{"OffsetCommit, simple groups", kind{join: joinNothing, leave: leaveNothing, request: commit}},
		{"OffsetCommit, members", kind{join: joinClassic, leave: leaveClassic, request: commit}},
		{"OffsetFetch", kind{join: commitOnce, leave: leaveNothing, request: func(m *member) request { return requestOf(fetchOf(m.group, loadTopic, loadPartitions), fetchCode) }}},
	}
	var loads []Load
	for _, k := range kinds {
		loads = append(loads, Load{Name: k.name, Connections: 32, InFlight: 1, kind: k.kind}, Load{Name: k.name, Connections: 4, InFlight: 16, kind: k.kind})
	}
	return loads
}

// The topic of the loads: a member owns all of it, and commits and fetches all of it.
const (
	loadTopic      = "loads"
	loadPartitions = 10
)

// kind says how to get a place in a group, and what to send there.
type kind struct {
	join    func(ctx context.Context, c *raw.Client, group, topic string, partitions int) (*member, error)
	leave   func(c *raw.Client, m *member) error
	request func(m *member) request
}

func heartbeatCode(r *kmsg.HeartbeatResponse) int16 { return r.ErrorCode }

func commit(m *member) request { return requestOf(commitOf(m, loadTopic, loadPartitions), commitCode) }

func joinNothing(ctx context.Context, c *raw.Client, group, _ string, _ int) (*member, error) {
	return &member{group: group, epoch: -1}, find(ctx, c, group)
}

func leaveNothing(*raw.Client, *member) error { return nil }

func commitOnce(ctx context.Context, c *raw.Client, group, topic string, partitions int) (*member, error) {
	m := &member{group: group, epoch: -1}
	_, err := insist(ctx, c, commitOf(m, topic, partitions), commitCode)
	return m, err
}

// request is one that was encoded beforehand.
type request struct {
	frame []byte
	check func(response []byte) error
	good  []byte // a response that was checked; the others are mostly like it
}

func requestOf[R kmsg.Response](req kmsg.Request, code func(R) int16) request {
	resp := req.ResponseKind().(R)
	return request{frame: raw.Frame(req), check: func(response []byte) error {
		if err := raw.Decode(response, resp); err != nil {
			return err
		}
		return kerr.ErrorForCode(code(resp))
	}}
}

func (r *request) verify(response []byte) error {
	if bytes.Equal(response, r.good) {
		return nil
	}
	if err := r.check(response); err != nil {
		return err
	}
	r.good = bytes.Clone(response)
	return nil
}

// Run applies the load to a broker for a while.
func (l Load) Run(ctx context.Context, b Broker, d time.Duration) (Rate, error) {
	r, err := l.run(ctx, b, d)
	if err != nil {
		return r, fmt.Errorf("%s of %d connections: %w", l.Name, l.Connections, err)
	}
	return r, nil
}

func (l Load) run(ctx context.Context, b Broker, d time.Duration) (rate Rate, err error) {
	if err := createTopic(ctx, b.Addr, loadTopic, loadPartitions); err != nil {
		return rate, err
	}
	lanes := make([]*lane, l.Connections)
	defer func() {
		for _, n := range lanes {
			if n != nil {
				err = errors.Join(err, n.close())
			}
		}
	}()
	for i := range lanes {
		if lanes[i], err = l.open(ctx, b.Addr, i); err != nil {
			return rate, err
		}
	}
	return measure(b.PID, len(lanes), func(i int) (int, error) {
		n := lanes[i]
		end, at := time.Now().Add(d), 0
		return pump(n.client, l.InFlight, func() *request {
			if at&15 == 0 && !time.Now().Before(end) || ctx.Err() != nil {
				return nil
			}
			at++
			return &n.requests[at%len(n.requests)]
		})
	})
}

// measure does something on several lanes at once, each of which says how many requests it made, and adds up.
func measure(pid, lanes int, do func(i int) (int, error)) (r Rate, err error) {
	before, err := raw.CPUOf(pid)
	if err != nil {
		return r, err
	}
	began := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex // guards r.Requests and err
	for i := range lanes {
		wg.Go(func() {
			n, e := do(i)
			mu.Lock()
			defer mu.Unlock()
			r.Requests += n
			err = errors.Join(err, e)
		})
	}
	wg.Wait()
	r.Took = time.Since(began)
	if err != nil {
		return r, err
	}
	after, err := raw.CPUOf(pid)
	r.CPU = after - before
	return r, err
}

// lane is a connection with the members that send over it.
type lane struct {
	client   *raw.Client
	members  []*member
	requests []request
	leave    func(c *raw.Client, m *member) error
}

func (l Load) open(ctx context.Context, addr string, index int) (*lane, error) {
	c, err := raw.Connect(ctx, addr)
	if err != nil {
		return nil, err
	}
	n := &lane{client: c, leave: l.kind.leave}
	for i := range l.InFlight {
		group := fmt.Sprintf("group-%d-%d-%d", time.Now().UnixNano(), index, i)
		if err := find(ctx, c, group); err != nil {
			return n, err
		}
		m, err := l.kind.join(ctx, c, group, loadTopic, loadPartitions)
		if err != nil {
			return n, err
		}
		n.members = append(n.members, m)
		n.requests = append(n.requests, l.kind.request(m))
	}
	return n, nil
}

func (n *lane) close() error {
	defer n.client.Close()
	for _, m := range n.members {
		if err := n.leave(n.client, m); err != nil {
			return err
		}
	}
	return nil
}

// pump sends requests until next has no more, so many of them in flight, and counts their answers. Each is written by itself,
// as clients do.
func pump(c *raw.Client, inFlight int, next func() *request) (answers int, err error) {
	flying := make([]*request, 0, inFlight)
	send := func() error {
		r := next()
		if r == nil {
			return nil
		}
		flying = append(flying, r)
		return c.Write(r.frame)
	}
	for range inFlight {
		if err := send(); err != nil {
			return 0, err
		}
	}
	for len(flying) > 0 {
		response, err := c.ReadFrame()
		if err != nil {
			return answers, err
		}
		if err := flying[0].verify(response); err != nil {
			return answers, err
		}
		answers++
		flying = append(flying[:0], flying[1:]...)
		if err := send(); err != nil {
			return answers, err
		}
	}
	return answers, nil
}
