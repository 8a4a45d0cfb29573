package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/handler"
	"github.com/distributedmq/dmq/broker/nodelink"
	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/protocol"
)

// quorumView is what a controllerLink knows of the quorum.
type quorumView interface {
	Leader() (id protocol.NodeID, term int64, ok bool)
	Address(id protocol.NodeID) string
	LeadershipChanges() (ch <-chan struct{}, cancel func())
}

// controllerLink is the way to the active controller: in this process while this node leads the quorum, over the network
// otherwise (Kafka's NodeToControllerChannelManager). It follows leadership: a request that nobody has decided goes to the
// new controller, and so does one that may be sent twice and of which nothing was heard.
//
// All methods may be called from any goroutine. Close joins what the connections need.
type controllerLink struct {
	self   protocol.NodeID
	local  handler.Controller // nil: this node is no controller
	quorum quorumView
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	client string
	logger *slog.Logger
	most   int // connections; requests beyond share them

	mu    sync.Mutex // guards the fields below
	idle  []*nodelink.Link
	all   []*nodelink.Link
	turn  int
	ended bool
}

// decidedPause is the time between attempts while leadership does not change: a leader that refuses is about to notice that
// it leads, or that it does not.
const decidedPause = 10 * time.Millisecond

// Handle sends a client's request in the version it has (handler.Controller).
func (l *controllerLink) Handle(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	return l.do(ctx, req, (*nodelink.Link).Forward)
}

// Request sends a request of this node's own, in the newest version that both sides know.
func (l *controllerLink) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	if api, ok := protocol.LookupAPI(req.Key()); ok {
		req.SetVersion(api.MaxVersion)
	}
	return l.do(ctx, req, (*nodelink.Link).Request)
}

type sendFunc func(*nodelink.Link, context.Context, kmsg.Request) (kmsg.Response, error)

func (l *controllerLink) do(ctx context.Context, req kmsg.Request, send sendFunc) (kmsg.Response, error) {
	changes, cancel := l.quorum.LeadershipChanges()
	defer cancel()
	for {
		resp, err := l.try(ctx, req, send, changes)
		if err == nil && !notDecided(resp) {
			return resp, nil
		}
		if err != nil && !mayRepeat(req, err) {
			return nil, err
		}
		pause := time.NewTimer(decidedPause)
		select {
		case <-changes:
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			if err == nil {
				return resp, nil
			}
			return nil, err
		}
		pause.Stop()
	}
}

// try sends the request to whoever leads now.
func (l *controllerLink) try(ctx context.Context, req kmsg.Request, send sendFunc, changes <-chan struct{}) (kmsg.Response, error) {
	leader, _, ok := l.quorum.Leader()
	switch {
	case !ok:
		return nil, &kraft.NotLeaderError{Leader: -1}
	case leader == l.self && l.local != nil:
		return l.local.Handle(ctx, req)
	case leader == l.self:
		return nil, &kraft.NotLeaderError{Leader: -1}
	}
	return l.overNetwork(ctx, req, send, leader, changes)
}

// answerGrace is how long a controller that was succeeded may still answer: that it hands leadership on may be what it was asked
// for. One whose process died is not waited for, since its connections break.
const answerGrace = 200 * time.Millisecond

var errLeaderChanged = errors.New("another controller leads now")

// overNetwork gives up when somebody else comes to lead: the old leader may be gone without a word.
func (l *controllerLink) overNetwork(ctx context.Context, req kmsg.Request, send sendFunc, leader protocol.NodeID, changes <-chan struct{}) (kmsg.Response, error) {
	link, exclusive, err := l.take()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type result struct {
		resp kmsg.Response
		err  error
	}
	done := make(chan result, 1)
	go func() { // ends with the request, which ends with ctx
		resp, err := send(link, ctx, req)
		done <- result{resp, err}
	}()
	var grace <-chan time.Time
	for {
		select {
		case r := <-done:
			l.give(link, exclusive)
			return r.resp, unknownOutcome(r.err)
		case <-changes:
			if now, _, ok := l.quorum.Leader(); ok && now != leader && grace == nil {
				grace = time.After(answerGrace)
			}
		case <-grace:
			cancel(errLeaderChanged)
		}
	}
}

// unknownOutcome marks the failure of a request that may have been carried out.
func unknownOutcome(err error) error {
	if err == nil || errors.Is(err, nodelink.ErrNotSent) {
		return err
	}
	return &kraft.OutcomeUnknownError{Err: err}
}

// take returns a connection that nobody uses, or the next one when there are enough.
func (l *controllerLink) take() (link *nodelink.Link, exclusive bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
		return nil, false, nodelink.ErrClosed
	case len(l.idle) > 0:
		link = l.idle[len(l.idle)-1]
		l.idle = l.idle[:len(l.idle)-1]
		return link, true, nil
	case len(l.all) < l.most:
		link = nodelink.New(nodelink.Options{Dial: l.dial, Address: l.address, ClientID: l.client, Logger: l.logger})
		l.all = append(l.all, link)
		return link, true, nil
	default:
		l.turn++
		return l.all[l.turn%len(l.all)], false, nil
	}
}

func (l *controllerLink) give(link *nodelink.Link, exclusive bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if exclusive {
		l.idle = append(l.idle, link)
	}
}

// address is where the active controller listens.
func (l *controllerLink) address() (string, error) {
	leader, _, ok := l.quorum.Leader()
	if !ok || leader == l.self {
		return "", &kraft.NotLeaderError{Leader: -1}
	}
	address := l.quorum.Address(leader)
	if address == "" {
		return "", fmt.Errorf("the address of controller %d is not known", leader)
	}
	return address, nil
}

// Close fails what is under way.
func (l *controllerLink) Close() error {
	l.mu.Lock()
	l.ended = true
	all := l.all
	l.mu.Unlock()
	var errs []error
	for _, link := range all {
		errs = append(errs, link.Close())
	}
	return errors.Join(errs...)
}

// notDecided reports whether the answer is that another node leads, so that nothing was decided. The code stands at the top of
// an answer, or in each of its items.
func notDecided(resp kmsg.Response) bool {
	v := reflect.ValueOf(resp)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return false
	}
	v = v.Elem()
	if isNotController(v) {
		return true
	}
	for _, f := range v.Fields() {
		if f.Kind() == reflect.Slice && f.Len() > 0 && f.Index(0).Kind() == reflect.Struct && isNotController(f.Index(0)) {
			return true
		}
	}
	return false
}

// isNotController: the quorum's own APIs say NOT_LEADER_OR_FOLLOWER, DescribeQuorum in its one partition.
func isNotController(v reflect.Value) bool {
	if t, ok := reflect.TypeAssert[kmsg.DescribeQuorumResponseTopic](v); ok {
		return len(t.Partitions) > 0 && t.Partitions[0].ErrorCode == kerr.NotLeaderForPartition.Code
	}
	code := v.FieldByName("ErrorCode")
	return code.IsValid() && (code.Int() == int64(kerr.NotController.Code) || code.Int() == int64(kerr.NotLeaderForPartition.Code))
}

// mayRepeat reports whether a request that failed may be sent again: nothing was decided, or deciding it again does no harm.
func mayRepeat(req kmsg.Request, err error) bool {
	switch {
	case errors.Is(err, nodelink.ErrClosed), errors.Is(err, kraft.ErrClosed):
		return false
	case errors.As(err, new(*kraft.NotLeaderError)), errors.Is(err, nodelink.ErrNotSent):
		return true
	case !errors.As(err, new(*kraft.OutcomeUnknownError)):
		return false
	}
	switch req.(type) {
	case *kmsg.BrokerRegistrationRequest, *kmsg.ControllerRegistrationRequest, *kmsg.BrokerHeartbeatRequest, *kmsg.AllocateProducerIDsRequest, *kmsg.DescribeQuorumRequest,
		*kmsg.AlterPartitionRequest, *kmsg.AlterPartitionAssignmentsRequest, *kmsg.AssignReplicasToDirsRequest, *kmsg.ListPartitionReassignmentsRequest:
		return true
	}
	return false
}
