package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/admin/client"
	"github.com/distributedmq/dmq/internal/testport"
)

// restCluster is three nodes in this process, with their admin ports.
type restCluster struct {
	t     *testing.T
	nodes map[int32]*restNode
	ports []string // of the controller listeners
	dirs  map[int32]string
	set   []string

	mu     sync.Mutex // guards pushes
	pushes []string
}

// within bounds what a cluster on a busy machine may take.
const within = 2 * time.Minute

func startRESTCluster(t *testing.T, set ...string) *restCluster {
	t.Helper()
	c := &restCluster{t: t, nodes: make(map[int32]*restNode), dirs: make(map[int32]string), set: set}
	ports, err := testport.Free(3)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		c.ports = append(c.ports, fmt.Sprintf("127.0.0.1:%d", port))
	}
	for id := range int32(3) {
		c.dirs[id+1] = t.TempDir()
		c.nodes[id+1] = c.node(id + 1)
	}
	c.start(1, 2, 3)
	return c
}

// node serves the admin port of a node that has not started yet.
func (c *restCluster) node(id int32) *restNode {
	var voters []string
	for i, port := range c.ports {
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, port))
	}
	return newRESTNode(c.t, slices.Concat([]string{
		fmt.Sprintf("node.id=%d", id), "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://" + c.ports[id-1],
		"controller.quorum.voters=" + strings.Join(voters, ","), "log.dirs=" + c.dirs[id],
	}, c.set)...)
}

func (c *restCluster) start(ids ...int32) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), within)
	defer cancel()
	var starting sync.WaitGroup
	for _, id := range ids {
		starting.Go(func() {
			n := c.nodes[id]
			if err := n.b.Start(ctx); err != nil {
				c.t.Errorf("start node %d: %v", id, err)
				return
			}
			stop, err := watch(ctx, n.b, slog.New(slog.DiscardHandler))
			if err != nil {
				c.t.Errorf("watch node %d: %v", id, err)
			}
			kill := n.stop
			n.stop = func() {
				stop()
				kill()
			}
			c.t.Cleanup(n.stop)
		})
	}
	starting.Wait()
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// until polls a node until it says what is wanted.
func (n *restNode) until(what, method, path, body string, ok func(reply) bool) reply {
	n.t.Helper()
	deadline := time.Now().Add(within)
	for {
		r, err := n.try(n.t.Context(), method, path, body)
		if err == nil && ok(r) {
			return r
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s: last answer %d %.300s, %v", what, statusIn(r), r.text, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func statusIn(r reply) int {
	if r.Response == nil {
		return 0
	}
	return r.StatusCode
}

// leader waits until the nodes agree on one controller, and returns it with its term.
func (c *restCluster) leader(ids ...int32) (id int32, term int64) {
	c.t.Helper()
	deadline := time.Now().Add(within)
	for time.Now().Before(deadline) {
		seen := map[string]bool{}
		for _, n := range ids {
			r, err := c.nodes[n].try(c.t.Context(), http.MethodGet, "/metadata/controller", "")
			if err != nil || r.StatusCode != http.StatusOK {
				seen["unknown"] = true
				continue
			}
			a := got[api.Controller](c.t, r, http.StatusOK)
			id, term = a.ControllerID, a.ControllerTerm
			seen[fmt.Sprint(id, term, a.ControllerURL)] = true
		}
		if len(seen) == 1 && !seen["unknown"] && slices.Contains(ids, id) {
			return id, term
		}
		time.Sleep(5 * time.Millisecond)
	}
	c.t.Fatal("the nodes do not agree on a controller")
	return 0, 0
}

func others(id int32) []int32 {
	return slices.DeleteFunc([]int32{1, 2, 3}, func(n int32) bool { return n == id })
}

// steady checks something that holds while a controller leads, until it does: on a busy machine a controller may lose its quorum for a
// moment, and another be elected.
func (c *restCluster) steady(check func(leader int32, term int64) error) {
	c.t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		err := check(c.leader(1, 2, 3))
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatal(err)
		}
	}
}

// redirects: who is not the controller names it, everywhere. One that has just become it refuses all of this otherwise.
func (c *restCluster) redirects(leader int32, term int64) error {
	for _, id := range others(leader) {
		n := c.nodes[id]
		for _, rt := range []struct{ method, path, body string }{
			{http.MethodPost, "/metadata/heartbeat/1", ""},
			{http.MethodPost, "/metadata/brokers", `{"id":101}`},
			{http.MethodDelete, "/metadata/brokers/101", ""},
			{http.MethodPost, "/metadata/topics", `{"topicName":""}`},
			{http.MethodDelete, "/metadata/topics/orders", ""},
		} {
			r := n.call(rt.method, rt.path, rt.body)
			var e api.Error
			if err := json.Unmarshal([]byte(r.text), &e); err != nil || r.StatusCode != http.StatusServiceUnavailable {
				return fmt.Errorf("node %d %s: got %d %s: %w", id, rt.path, r.StatusCode, r.text, err)
			}
			if e.ErrorCode != "NOT_CONTROLLER" || e.ControllerID == nil || *e.ControllerID != leader || r.Header.Get("X-Controller-Leader") != fmt.Sprint(leader) ||
				r.Header.Get("X-Controller-Url") != c.nodes[leader].url || *e.ControllerTerm != term {
				return fmt.Errorf("node %d %s: got %s %v", id, rt.path, r.text, r.Header)
			}
		}
	}
	return nil
}

func TestREST_Cluster(t *testing.T) {
	c := startRESTCluster(t, "broker.session.timeout.ms=60000")
	c.steady(c.redirects)

	// A topic is on every node, with leaders in turn, and a client finds the leader of a partition.
	c.steady(func(leader int32, _ int64) error {
		r := c.nodes[leader].call(http.MethodPost, "/metadata/topics", `{"topicName":"orders","numPartitions":3,"replicationFactor":2}`)
		if r.StatusCode != http.StatusCreated && r.StatusCode != http.StatusConflict { // the latter: by a controller that was deposed meanwhile
			return fmt.Errorf("got %d %s", r.StatusCode, r.text)
		}
		return nil
	})
	topic := got[api.Topic](t, c.nodes[1].until("the topic", http.MethodGet, "/metadata/topics/orders", "", func(r reply) bool { return r.StatusCode == http.StatusOK }), http.StatusOK)
	for i, want := range []struct {
		leader  int32
		replica []int32
	}{{1, []int32{2}}, {2, []int32{3}}, {3, []int32{1}}} {
		if p := topic.Partitions[i]; p.Leader != want.leader || !slices.Equal(p.Replicas, want.replica) {
			t.Errorf("partition %d: got %+v, want %+v", i, p, want)
		}
	}
	for _, n := range c.nodes {
		n.until("the topic", http.MethodGet, "/metadata/topics/orders", "", func(r reply) bool { return r.StatusCode == http.StatusOK })
	}
	r := c.nodes[1].until("a redirect", http.MethodPost, "/storage/messages", `{"topic":"orders","partition":1,"messages":[{"value":"MQ=="}]}`,
		func(r reply) bool { return r.StatusCode == http.StatusTemporaryRedirect })
	if at := r.Header.Get("Location"); at != c.nodes[2].url+"/api/v1/storage/messages" {
		t.Errorf("sent to %s, want node 2 at %s", at, c.nodes[2].url)
	}
	c.nodes[1].until("a forward", http.MethodPost, "/storage/messages?forward=true", `{"topic":"orders","partition":1,"messages":[{"value":"MQ=="}]}`,
		func(r reply) bool { return r.StatusCode == http.StatusOK })
	m := got[api.ConsumeAnswer](t, c.nodes[3].call(http.MethodPost, "/storage/consume?forward=true", `{"topic":"orders","partition":1,"offset":0,"maxWaitMs":10000}`), http.StatusOK)
	if len(m.Messages) == 0 || string(m.Messages[0].Value) != "1" {
		t.Errorf("got %+v", m)
	}
	const highWatermark = "/storage/partitions/orders/1/high-water-mark"
	end := got[int64](t, c.nodes[2].call(http.MethodGet, highWatermark, ""), http.StatusOK)
	c.nodes[3].until("the follower's high watermark", http.MethodGet, highWatermark, "", func(r reply) bool { return r.text == fmt.Sprint(end) })
	c.nodes[1].until("the offsets of the leader on another node", http.MethodGet, "/metadata/topics/orders", "", func(r reply) bool {
		p := got[api.Topic](t, r, http.StatusOK).Partitions[1]
		return *p.StartOffset == 0 && *p.EndOffset == end
	})

	// The version is the same number everywhere, once all have caught up.
	versions := func() map[int64]bool {
		seen := make(map[int64]bool)
		for id, n := range c.nodes {
			have := got[api.ClusterMetadata](t, n.call(http.MethodGet, "/metadata/cluster", ""), http.StatusOK)
			if len(have.ActiveMetadataNodes) != 3 || have.ActiveMetadataNodes[1].URL != c.nodes[2].url {
				t.Errorf("node %d: got %+v", id, have.ActiveMetadataNodes)
			}
			seen[have.Version] = true
		}
		return seen
	}
	for deadline := time.Now().Add(within); len(versions()) > 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nodes are at versions %v", versions())
		}
	}

	c.failover(c.leader(1, 2, 3))
}

// failover kills the controller: another one is elected, brokers are told, clients find it, and the old one, once it is back,
// refuses.
func (c *restCluster) failover(leader int32, term int64) {
	t := c.t
	broker := c.foreignBroker()
	nodes := []string{c.nodes[1].url, c.nodes[2].url, c.nodes[3].url}
	cl, err := client.New(client.Options{Nodes: nodes})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	lead := func(path string, in, out any) error { // what may happen twice
		for {
			err := cl.Lead(ctx, http.MethodPost, path, in, out)
			if e, ok := errors.AsType[*client.Error](err); ok && e.Status == http.StatusGatewayTimeout {
				continue // the controller was deposed while it decided
			}
			return err
		}
	}
	if err := lead("/metadata/brokers", map[string]any{"id": 101, "host": "127.0.0.1", "port": broker}, nil); err != nil {
		t.Fatal(err)
	}
	c.nodes[leader].stop()
	next, nextTerm := c.leader(others(leader)...)
	if next == leader || nextTerm <= term {
		t.Errorf("got node %d in term %d after node %d in term %d", next, nextTerm, leader, term)
	}
	var answer api.HeartbeatAnswer
	if err := lead("/metadata/heartbeat/101", nil, &answer); err != nil || answer.BrokerStatus != "ONLINE" {
		t.Errorf("after the failover: got %+v, %v: a live broker went OFFLINE", answer, err)
	}
	for deadline := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		next, nextTerm = c.leader(others(leader)...) // one that loses its quorum at once tells nobody
		wanted := fmt.Sprintf("CONTROLLER_CHANGED %d %s %d", next, c.nodes[next].url, nextTerm)
		c.mu.Lock()
		seen := slices.Clone(c.pushes)
		c.mu.Unlock()
		if slices.Contains(seen, wanted) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("pushed were %q, want %q", seen, wanted)
		}
	}

	// The old controller returns.
	c.nodes[leader] = c.node(leader)
	c.start(leader)
	old := c.nodes[leader]
	r := old.until("the old controller's refusal", http.MethodPost, "/metadata/heartbeat/101", "", func(r reply) bool {
		next, _ = c.leader(1, 2, 3)
		return next == leader || r.Header.Get("X-Controller-Leader") == fmt.Sprint(next)
	})
	if next == leader { // elected anew, by a busy machine
		return
	}
	refused(t, r, http.StatusServiceUnavailable, "NOT_CONTROLLER")
	if at := r.Header.Get("X-Controller-Url"); at != c.nodes[next].url {
		t.Errorf("sent to %s, want node %d", at, next)
	}
}

// foreignBroker listens where a broker of the original would, and notes what is pushed to it.
func (c *restCluster) foreignBroker() (port int) {
	l, err := new(net.ListenConfig).Listen(c.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: within, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var p api.Push
		if err := decodeJSON(r, &p); err != nil || r.URL.Path != "/api/v1/storage/metadata" {
			c.t.Errorf("%s: %v", r.URL, err)
			return
		}
		c.mu.Lock()
		c.pushes = append(c.pushes, fmt.Sprintf("%s %d %s %d", p.UpdateType, *p.ControllerID, p.ControllerURL, *p.ControllerTerm))
		c.mu.Unlock()
		_, _ = fmt.Fprint(w, `{"success":true,"errorCode":"NONE"}`)
	})}
	go func() { _ = s.Serve(l) }() // until it is closed
	c.t.Cleanup(func() { _ = s.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

// A controller that is cut off from its quorum does not decide any more, and neither do nodes that hear of no leader.
func TestREST_WithoutQuorum(t *testing.T) {
	c := startRESTCluster(t)
	leader, _ := c.leader(1, 2, 3)
	for _, id := range others(leader) {
		c.nodes[id].stop()
	}
	left := c.nodes[leader]
	left.until("the refusal", http.MethodPost, "/metadata/heartbeat/1", "", func(r reply) bool {
		return r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") == "1" && r.Header.Get("X-Controller-Leader") == ""
	})
	for _, rt := range []struct{ method, path, body string }{
		{http.MethodPost, "/metadata/topics", `{"topicName":"t"}`},
		{http.MethodGet, "/metadata/controller", ""},
	} {
		r := left.call(rt.method, rt.path, rt.body)
		refused(t, r, http.StatusServiceUnavailable, "CONTROLLER_NOT_AVAILABLE")
	}
	if s := got[api.RaftStatus](t, left.call(http.MethodGet, "/raft/status", ""), http.StatusOK); s.IsLeader || s.LeaderID != -1 {
		t.Errorf("got %+v", s)
	}
	got[api.ClusterMetadata](t, left.call(http.MethodGet, "/metadata/cluster", ""), http.StatusOK) // what it knows it still shows
}
