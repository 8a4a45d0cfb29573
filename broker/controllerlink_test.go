package broker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// fakeQuorum says who leads.
type fakeQuorum struct {
	mu     sync.Mutex // guards the fields below
	leader protocol.NodeID
	subs   []chan struct{}
}

func (q *fakeQuorum) Leader() (protocol.NodeID, int64, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.leader, 1, q.leader >= 0
}

func (q *fakeQuorum) Address(id protocol.NodeID) string {
	return map[protocol.NodeID]string{2: "two:1", 3: "three:1"}[id]
}

func (q *fakeQuorum) LeadershipChanges() (<-chan struct{}, func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ch := make(chan struct{}, 1)
	q.subs = append(q.subs, ch)
	return ch, func() {}
}

func (q *fakeQuorum) lead(id protocol.NodeID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leader = id
	for _, ch := range q.subs {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// remoteController is another node's controller listener.
type remoteController struct {
	server *listener.Server
	answer func(ctx context.Context, req kmsg.Request) kmsg.Response // nil response: the connection breaks
	asked  chan kmsg.Request
}

func newRemoteController(answer func(context.Context, kmsg.Request) kmsg.Response) *remoteController {
	r := &remoteController{answer: answer, asked: make(chan kmsg.Request, 100)}
	r.server = listener.New(listener.Options{Name: "CONTROLLER", Scope: protocol.ScopeController, Handler: r, Logger: slog.New(slog.DiscardHandler)})
	return r
}

func (r *remoteController) Serve(ctx context.Context, req *listener.Request) listener.Response {
	if _, ok := req.Body.(*kmsg.ApiVersionsRequest); ok {
		resp := kmsg.NewPtrApiVersionsResponse()
		for _, a := range protocol.APIs() {
			resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: a.Key, MinVersion: a.MinVersion, MaxVersion: a.MaxVersion})
		}
		return listener.Reply{Message: resp}
	}
	r.asked <- req.Body
	resp := r.answer(ctx, req.Body)
	if resp == nil {
		return listener.Close{Err: errors.New("died")}
	}
	return listener.Reply{Message: resp}
}

// created is an answer to CreateTopics with a code for its topic.
func created(req kmsg.Request, code int16) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	t := kmsg.NewCreateTopicsResponseTopic()
	t.Topic, t.ErrorCode = "t", code
	resp.Topics = append(resp.Topics, t)
	return resp
}

func createRequest() *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.SetVersion(5)
	return req
}

// linkTo makes a link of node 1 to the controllers of nodes 2 and 3.
func linkTo(q *fakeQuorum, two, three *remoteController) *controllerLink {
	return &controllerLink{
		self: 1, quorum: q, client: "test", logger: slog.New(slog.DiscardHandler), most: 2,
		dial: func(_ context.Context, _, address string) (net.Conn, error) {
			to := two
			if address == "three:1" {
				to = three
			}
			if to == nil {
				return nil, errors.New("connection refused")
			}
			ours, theirs := net.Pipe()
			to.server.ServeConn(theirs)
			return ours, nil
		},
	}
}

func closeAll(t *testing.T, l *controllerLink, remotes ...*remoteController) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for _, r := range remotes {
		if err := r.server.Close(); err != nil {
			t.Error(err)
		}
	}
}

func succeed(_ context.Context, req kmsg.Request) kmsg.Response { return created(req, 0) }

// TestControllerLink_FollowsTheLeader: a request that nobody has decided goes to whoever comes to lead.
func TestControllerLink_FollowsTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQuorum{leader: -1}
		two := newRemoteController(func(_ context.Context, req kmsg.Request) kmsg.Response {
			q.lead(3)
			return created(req, kerr.NotController.Code)
		})
		three := newRemoteController(succeed)
		l := linkTo(q, two, three)
		time.AfterFunc(time.Second, func() { q.lead(2) })
		resp, err := l.Handle(t.Context(), createRequest())
		if err != nil || resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode != 0 {
			t.Errorf("%+v, %v", resp, err)
		}
		if len(two.asked) != 1 || len(three.asked) != 1 {
			t.Errorf("asked %d and %d times", len(two.asked), len(three.asked))
		}
		if v := (<-three.asked).GetVersion(); v != 5 {
			t.Errorf("forwarded in version %d, want that of the client", v)
		}
		closeAll(t, l, two, three)
	})
}

// TestControllerLink_SilentLeader: when somebody else comes to lead, a request is not left with the one before. It is sent again
// only if that does no harm.
func TestControllerLink_SilentLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQuorum{leader: 2}
		two := newRemoteController(func(ctx context.Context, _ kmsg.Request) kmsg.Response {
			time.AfterFunc(time.Second, func() { q.lead(3) })
			<-ctx.Done()
			return nil
		})
		three := newRemoteController(func(_ context.Context, req kmsg.Request) kmsg.Response { return req.ResponseKind() })
		l := linkTo(q, two, three)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := l.Request(ctx, kmsg.NewPtrBrokerHeartbeatRequest()); err != nil {
			t.Errorf("heartbeat: %v", err)
		}
		q.lead(2)
		_, err := l.Handle(ctx, createRequest())
		if errcode.KindOf(err) != errcode.KindRequestTimedOut || ctx.Err() != nil {
			t.Errorf("create: %v", err)
		}
		if len(three.asked) != 1 {
			t.Errorf("node 3 was asked %d times", len(three.asked))
		}
		closeAll(t, l, two, three)
	})
}

// TestControllerLink_LostConnection: what may have been carried out is not sent again.
func TestControllerLink_LostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQuorum{leader: 2}
		two := newRemoteController(func(context.Context, kmsg.Request) kmsg.Response { return nil })
		l := linkTo(q, two, nil)
		_, err := l.Handle(t.Context(), createRequest())
		var unknown *kraft.OutcomeUnknownError
		if !errors.As(err, &unknown) || len(two.asked) != 1 {
			t.Errorf("%v, asked %d times", err, len(two.asked))
		}
		closeAll(t, l, two)
	})
}

// TestControllerLink_NobodyLeads: it waits as long as the request may.
func TestControllerLink_NobodyLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQuorum{leader: 3}
		l := linkTo(q, nil, nil) // and the leader refuses connections
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := l.Handle(ctx, createRequest()); err == nil || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		closeAll(t, l)
	})
}

// localController is the controller in the same process.
type localController func(req kmsg.Request) (kmsg.Response, error)

func (f localController) Handle(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
	return f(req)
}

func TestControllerLink_Local(t *testing.T) {
	q := &fakeQuorum{leader: 1}
	l := linkTo(q, nil, nil)
	tries := 0
	l.local = localController(func(req kmsg.Request) (kmsg.Response, error) {
		if tries++; tries == 1 { // it leads, and is not active yet
			return nil, &kraft.NotLeaderError{Leader: -1}
		}
		return created(req, 0), nil
	})
	if _, err := l.Handle(t.Context(), createRequest()); err != nil || tries != 2 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	l.local = localController(func(kmsg.Request) (kmsg.Response, error) { return nil, errors.New("broken") })
	if _, err := l.Handle(t.Context(), createRequest()); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("%v", err)
	}
}

// TestControllerLink_Pool: requests have connections of their own as long as there are not too many.
func TestControllerLink_Pool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQuorum{leader: 2}
		hold := make(chan struct{})
		two := newRemoteController(func(_ context.Context, req kmsg.Request) kmsg.Response {
			<-hold
			return created(req, 0)
		})
		l := linkTo(q, two, nil)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := l.Handle(t.Context(), createRequest()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := two.server.Stats().Connections; n != 2 || len(two.asked) != 2 {
			t.Errorf("%d connections, %d requests at a time", n, len(two.asked))
		}
		close(hold)
		wg.Wait()
		closeAll(t, l, two)
	})
}

func TestNotDecided(t *testing.T) {
	quorum := kmsg.NewPtrDescribeQuorumResponse()
	quorum.Topics = []kmsg.DescribeQuorumResponseTopic{{Partitions: []kmsg.DescribeQuorumResponseTopicPartition{{ErrorCode: kerr.NotLeaderForPartition.Code}}}}
	for name, tt := range map[string]struct {
		resp kmsg.Response
		want bool
	}{
		"nothing":          {nil, false},
		"top":              {&kmsg.UpdateFeaturesResponse{ErrorCode: kerr.NotController.Code}, true},
		"voters":           {&kmsg.AddRaftVoterResponse{ErrorCode: kerr.NotLeaderForPartition.Code}, true},
		"item":             {created(createRequest(), kerr.NotController.Code), true},
		"another code":     {created(createRequest(), kerr.TopicAlreadyExists.Code), false},
		"the quorum":       {quorum, true},
		"no code anywhere": {kmsg.NewPtrProduceResponse(), false},
	} {
		if got := notDecided(tt.resp); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
