package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/nodelink"
)

// restNode is a node in this process with its admin port.
type restNode struct {
	t      *testing.T
	b      *broker.Broker
	url    string // of the admin port
	client *http.Client
	spec   *openAPI // answers are checked against it; nil: they are not
	stop   func()   // as a crash; may be called more than once
}

// startRESTNode starts a node as dmq serve does, without signals.
func startRESTNode(t *testing.T, set ...string) *restNode {
	t.Helper()
	n := newRESTNode(t, set...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := n.b.Start(ctx); err != nil {
		t.Fatal(err)
	}
	n.spec = fetchOpenAPI(t, n.url)
	return n
}

// newRESTNode serves the admin port of a node that has not started yet.
func newRESTNode(t *testing.T, set ...string) *restNode {
	t.Helper()
	c, _, err := config.Load(config.Sources{Set: append([]string{"listeners=PLAINTEXT://127.0.0.1:0", "dmq.admin.listen=127.0.0.1:0", "log.dirs=" + t.TempDir()}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	socket, err := listenAdmin(t.Context(), c, new(net.ListenConfig).Listen)
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{Properties: c, Logger: logger, Admin: adminEndpoint(c, socket)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := startAdmin(t.Context(), c, b, socket, logger, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	n := &restNode{t: t, b: b, url: "http://" + s.Addr().String(), client: &http.Client{
		Transport: &http.Transport{}, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			n.client.CloseIdleConnections()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(n.stop)
	return n
}

// reply is what a node answered.
type reply struct {
	*http.Response
	text string
}

// call sends a request and checks the answer against the document.
func (n *restNode) call(method, path, body string) reply {
	n.t.Helper()
	r, err := n.try(n.t.Context(), method, path, body)
	if err != nil {
		n.t.Fatal(err)
	}
	if n.spec != nil {
		n.spec.check(n.t, method, "/api/v1"+path, r.Response, []byte(r.text))
	}
	return r
}

func (n *restNode) try(ctx context.Context, method, path, body string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, n.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp, strings.TrimSpace(string(text))}, err
}

// got decodes an answer with this status.
func got[A any](t *testing.T, r reply, status int) A {
	t.Helper()
	var out A
	if err := json.Unmarshal([]byte(r.text), &out); err != nil || r.StatusCode != status {
		t.Fatalf("got %d, want %d: %v: %.500s", r.StatusCode, status, err, r.text)
	}
	return out
}

func decodeJSON(r *http.Request, into any) error { return json.NewDecoder(r.Body).Decode(into) }

// refused checks status and name of an error.
func refused(t *testing.T, r reply, status int, code string) {
	t.Helper()
	if e := got[api.Error](t, r, status); e.ErrorCode != code || e.Success {
		t.Errorf("got %+v, want %s", e, code)
	}
}

// kafkaClient is a client of the node's Kafka port.
func (n *restNode) kafkaClient(opts ...kgo.Opt) *kgo.Client {
	n.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(n.b.Addr().String())}, opts...)...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(cl.Close)
	return cl
}

// TestREST_Journey uses every endpoint of one node, with Kafka's protocol beside it, and holds every answer against the document.
func TestREST_Journey(t *testing.T) {
	n := startRESTNode(t)
	get := func(path string) reply { return n.call(http.MethodGet, path, "") }
	post := func(path, body string) reply { return n.call(http.MethodPost, path, body) }

	c := got[api.Controller](t, get("/metadata/controller"), http.StatusOK)
	if c.ControllerID != 1 || c.ControllerURL != n.url {
		t.Errorf("got %+v, want node 1 at %s", c, n.url)
	}

	// A topic made by REST is seen by Kafka's clients, and the other way round.
	created := got[api.Topic](t, post("/metadata/topics", `{"topicName":"orders-1","numPartitions":3,"replicationFactor":1,"retentionMs":3600000}`), http.StatusCreated)
	if len(created.Partitions) != 3 || created.Partitions[0].Leader != 1 || created.Config["retention.ms"] != "3600000" || created.CreatedAt <= 0 {
		t.Errorf("got %+v", created)
	}
	refused(t, post("/metadata/topics", `{"topicName":"orders-1"}`), http.StatusConflict, "TOPIC_ALREADY_EXISTS")
	refused(t, post("/metadata/topics", `{"topicName":"t","replicationFactor":2}`), http.StatusBadRequest, "INVALID_REPLICATION_FACTOR")
	refused(t, post("/metadata/topics", `{"topicName":"a/b"}`), http.StatusBadRequest, "INVALID_TOPIC_EXCEPTION")
	refused(t, post("/metadata/topics", `{"topicName":"t","config":{"no.such":"x"}}`), http.StatusBadRequest, "INVALID_CONFIG")
	refused(t, post("/metadata/topics", `{"topicName":"t","config":{"retention.ms":null}}`), http.StatusBadRequest, "INVALID_CONFIG")
	refused(t, post("/metadata/topics", `{"topicName":"t","numPartitions":20000}`), http.StatusBadRequest, "POLICY_VIOLATION")
	adm := kadm.NewClient(n.kafkaClient())
	if topics, err := adm.ListTopics(t.Context(), "orders-1"); err != nil || topics["orders-1"].ID.String() == "" || len(topics["orders-1"].Partitions) != 3 {
		t.Errorf("by Kafka's protocol: %+v, %v", topics, err)
	}
	if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, "kafka"); err != nil {
		t.Fatal(err)
	}
	if names := got[[]string](t, get("/metadata/topics"), http.StatusOK); !slices.Equal(names, []string{"kafka", "orders-1"}) {
		t.Errorf("got %v", names)
	}

	// Records, too.
	p := got[api.ProduceAnswer](t, post("/storage/messages", `{"topic":"orders-1","partition":1,"messages":[{"key":"aw==","value":"djA=","headers":{"h":"eA=="}},{"value":null,"timestamp":1700000000000}],"requiredAcks":-1}`), http.StatusOK)
	if !p.Success || len(p.Results) != 2 || p.Results[1].Offset != 1 || p.Results[1].Timestamp != 1700000000000 {
		t.Errorf("got %+v", p)
	}
	cl := n.kafkaClient(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"orders-1": {1: kgo.NewOffset().AtStart()}}))
	if r := cl.PollRecords(t.Context(), 2).Records(); len(r) != 2 || string(r[0].Value) != "v0" || string(r[0].Key) != "k" || r[0].Headers[0].Key != "h" || r[1].Value != nil {
		t.Errorf("by Kafka's protocol: got %v", r)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "orders-1", Partition: 0, Key: []byte("21"), Value: []byte("by kafka")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	m := got[api.ConsumeAnswer](t, post("/storage/consume", `{"topic":"orders-1","partition":0,"offset":0,"consumerGroup":"g","maxWaitMs":10000}`), http.StatusOK)
	if len(m.Messages) != 1 || string(m.Messages[0].Value) != "by kafka" || m.HighWaterMark != 1 {
		t.Errorf("got %+v", m)
	}
	for acks := range 2 {
		got[api.ProduceAnswer](t, post("/storage/messages", fmt.Sprintf(`{"topic":"orders-1","messages":[{"value":"dg=="}],"requiredAcks":%d}`, acks)), http.StatusOK)
	}
	if m := got[api.ConsumeAnswer](t, post("/storage/consume?forward=true", `{"topic":"orders-1","partition":1,"offset":1,"maxMessages":1}`), http.StatusOK); len(m.Messages) != 1 || m.Messages[0].Value != nil || m.Messages[0].Offset != 1 {
		t.Errorf("got %+v", m)
	}
	refused(t, post("/storage/consume", `{"topic":"orders-1","partition":1,"offset":1000}`), http.StatusBadRequest, "OFFSET_OUT_OF_RANGE")
	refused(t, post("/storage/messages", `{"topic":"orders-1","partition":1,"messages":[{"value":"`+strings.Repeat("AAAA", 500_000)+`"}]}`), http.StatusRequestEntityTooLarge, "MESSAGE_TOO_LARGE")

	topic := got[api.Topic](t, get("/metadata/topics/orders-1"), http.StatusOK)
	if end := *topic.Partitions[1].EndOffset; end < 2 || *topic.Partitions[1].StartOffset != 0 {
		t.Errorf("got %+v", topic.Partitions[1])
	}
	if hw := got[int64](t, get("/storage/partitions/orders-1/1/high-water-mark"), http.StatusOK); hw != *topic.Partitions[1].EndOffset {
		t.Errorf("got high watermark %d, want %d", hw, *topic.Partitions[1].EndOffset)
	}
	if l := got[api.PartitionLeader](t, get("/metadata/topics/orders-1/partitions/2/leader"), http.StatusOK); l.Leader.ID != 1 || net.JoinHostPort(l.Leader.Host, fmt.Sprint(l.Leader.Port)) != n.b.Addr().String() {
		t.Errorf("got %+v", l)
	}

	// Brokers.
	b := got[api.BrokerInfo](t, post("/metadata/brokers", `{"id":101,"host":"127.0.0.1","port":1,"rack":"r"}`), http.StatusOK)
	if b.Status != "ONLINE" || b.RegisteredAt <= 0 || b.BrokerEpoch <= 0 || b.AdminURL != "http://127.0.0.1:1" || b.Native {
		t.Errorf("got %+v", b)
	}
	again := got[api.BrokerInfo](t, post("/metadata/brokers", `{"brokerId":101,"host":"127.0.0.1","port":1}`), http.StatusOK)
	if again.BrokerEpoch != b.BrokerEpoch || again.RegisteredAt != b.RegisteredAt {
		t.Errorf("got %+v, want %+v", again, b)
	}
	refused(t, post("/metadata/brokers", `{"id":101,"host":"127.0.0.2","port":1}`), http.StatusConflict, "DUPLICATE_BROKER_REGISTRATION")
	if h := got[api.HeartbeatAnswer](t, post("/metadata/heartbeat/101", `{"metadataVersion":1}`), http.StatusOK); h.BrokerStatus != "ONLINE" || h.MetadataVersion <= b.BrokerEpoch {
		t.Errorf("got %+v", h)
	}
	if s := got[api.HeartbeatStatus](t, get("/metadata/heartbeat/status"), http.StatusOK); len(s.Brokers) != 2 || s.Brokers[1].LastHeartbeatAgeMs < 0 || s.TimeoutMs != 9000 {
		t.Errorf("got %+v", s)
	}
	if list := got[[]api.BrokerInfo](t, get("/metadata/brokers"), http.StatusOK); len(list) != 2 || !list[0].Native || list[0].AdminURL != n.url {
		t.Errorf("got %+v", list)
	}
	got[api.BrokerInfo](t, get("/metadata/brokers/101"), http.StatusOK)
	if seen, err := kadm.NewClient(n.kafkaClient()).ListBrokers(t.Context()); err != nil || !slices.Equal(seen.NodeIDs(), []int32{1}) {
		t.Errorf("Kafka's clients are told of brokers %v, %v, want none of REST", seen.NodeIDs(), err)
	}
	if placed := got[api.Topic](t, post("/metadata/topics", `{"topicName":"placed","numPartitions":4}`), http.StatusCreated); placed.Partitions[3].Leader != 1 {
		t.Errorf("a broker of REST got a replica beside native ones: %+v", placed)
	}
	if r := n.call(http.MethodDelete, "/metadata/brokers/101", ""); r.StatusCode != http.StatusNoContent {
		t.Errorf("got %d %s", r.StatusCode, r.text)
	}
	refused(t, post("/metadata/heartbeat/101", ""), http.StatusNotFound, "BROKER_ID_NOT_REGISTERED")

	// The cluster.
	all := got[api.ClusterMetadata](t, get("/metadata/cluster"), http.StatusOK)
	if all.Version != n.b.Image().Version || all.TotalPartitions != 8 || len(all.ActiveMetadataNodes) != 1 || all.ActiveMetadataNodes[0].URL != n.url {
		t.Errorf("got %+v", all)
	}
	if s := got[api.RaftStatus](t, get("/raft/status"), http.StatusOK); s.State != "LEADER" || !s.IsLeader || s.CommitIndex < all.Version {
		t.Errorf("got %+v", s)
	}
	if s := got[api.StateMachineStats](t, get("/raft/state-machine/stats"), http.StatusOK); s.PartitionCount != 8 || s.TopicCount != 3 || s.BrokerCount != 1 {
		t.Errorf("got %+v", s)
	}
	refused(t, post("/raft/append-entries", "{}"), http.StatusGone, "GONE")
	if h := got[api.Health](t, get("/storage/health"), http.StatusOK); !h.ControllerConnected || h.CurrentController != 1 || h.LastHeartbeatTime <= 0 {
		t.Errorf("got %+v", h)
	}
	if i := got[api.StorageInfo](t, get("/storage/info"), http.StatusOK); !slices.Equal(i.LeaderPartitions["orders-1"], []int32{0, 1, 2}) {
		t.Errorf("got %+v", i)
	}
	push := fmt.Sprintf(`{"updateType":"CONTROLLER_CHANGED","controllerId":1,"controllerUrl":%q,"controllerTerm":%d}`, n.url, c.ControllerTerm)
	got[api.PushAnswer](t, post("/storage/metadata", push), http.StatusOK)
	stale := post("/storage/metadata", `{"updateType":"CONTROLLER_CHANGED","controllerId":1,"controllerTerm":0}`)
	if a := got[api.PushAnswer](t, stale, http.StatusConflict); a.ErrorCode != "STALE_CONTROLLER_EPOCH" {
		t.Errorf("got %+v", a)
	}
	if r := n.call(http.MethodDelete, "/metadata/topics/orders-1", ""); r.StatusCode != http.StatusNoContent {
		t.Errorf("got %d %s", r.StatusCode, r.text)
	}
	refused(t, get("/metadata/topics/orders-1"), http.StatusNotFound, "UNKNOWN_TOPIC_OR_PARTITION")
	if left := n.spec.unseen(); len(left) > 0 {
		t.Errorf("never answered with success: %v", left)
	}
}

// A consumer that waits is answered as soon as there is a record.
func TestREST_ConsumeWaits(t *testing.T) {
	n := startRESTNode(t)
	n.call(http.MethodPost, "/metadata/topics", `{"topicName":"t"}`)
	answer := make(chan reply, 1)
	go func() {
		r, err := n.try(t.Context(), http.MethodPost, "/storage/consume", `{"topic":"t","partition":0,"offset":0,"maxWaitMs":30000}`)
		if err != nil {
			t.Error(err)
		}
		answer <- r
	}()
	n.call(http.MethodPost, "/storage/messages", `{"topic":"t","partition":0,"messages":[{"value":"dg=="}]}`)
	if m := got[api.ConsumeAnswer](t, <-answer, http.StatusOK); len(m.Messages) != 1 {
		t.Errorf("got %+v", m)
	}
	if m := got[api.ConsumeAnswer](t, n.call(http.MethodPost, "/storage/consume", `{"topic":"t","partition":0,"offset":1,"maxWaitMs":1}`), http.StatusOK); len(m.Messages) != 0 {
		t.Errorf("got %+v", m)
	}
}

// The metadata version is kept over a restart, and so is who registered.
func TestREST_VersionSurvives(t *testing.T) {
	dir := t.TempDir()
	n := startRESTNode(t, "log.dirs="+dir)
	n.call(http.MethodPost, "/metadata/brokers", `{"id":101,"host":"127.0.0.1","port":1}`)
	before := got[api.ClusterMetadata](t, n.call(http.MethodGet, "/metadata/cluster", ""), http.StatusOK)
	n.stop()
	n = startRESTNode(t, "log.dirs="+dir)
	after := got[api.ClusterMetadata](t, n.call(http.MethodGet, "/metadata/cluster", ""), http.StatusOK)
	if after.Version < before.Version || after.ClusterID != before.ClusterID || len(after.Brokers) != 2 || after.Brokers[1].RegisteredAt != before.Brokers[1].RegisteredAt {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
}

// Before the node runs the admin port says so, and never that something is not there.
func TestREST_BeforeTheStart(t *testing.T) {
	n := newRESTNode(t)
	for _, path := range []string{"/metadata/controller", "/metadata/topics/x", "/raft/status", "/metadata/brokers/1"} {
		r := n.call(http.MethodGet, path, "")
		refused(t, r, http.StatusServiceUnavailable, "CONTROLLER_NOT_AVAILABLE")
		if r.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: headers %v", path, r.Header)
		}
	}
	refused(t, n.call(http.MethodPost, "/metadata/heartbeat/1", ""), http.StatusServiceUnavailable, "CONTROLLER_NOT_AVAILABLE")
}

// Kafka's clients are told of no admin port, whichever way they ask.
func TestREST_AdminEndpointIsHidden(t *testing.T) {
	n := startRESTNode(t, "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0")
	port := n.url[strings.LastIndex(n.url, ":")+1:]
	cl := n.kafkaClient()
	quorum := kmsg.NewPtrDescribeQuorumRequest()
	rt := kmsg.NewDescribeQuorumRequestTopic()
	rt.Topic, rt.Partitions = "__cluster_metadata", []kmsg.DescribeQuorumRequestTopicPartition{{}}
	quorum.Topics = append(quorum.Topics, rt)
	controllers := kmsg.NewPtrDescribeClusterRequest()
	controllers.EndpointType = 2
	var seen []byte
	ask := func(to interface {
		Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
	}, req kmsg.Request,
	) {
		t.Helper()
		resp, err := to.Request(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(resp)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, text...)
	}
	ask(cl, kmsg.NewPtrMetadataRequest())
	ask(cl, kmsg.NewPtrDescribeClusterRequest())
	ask(cl, quorum)
	if !bytes.Contains(seen, []byte("CONTROLLER")) {
		t.Fatalf("no controller in %s", seen)
	}
	ask(n.controllerLink(), controllers)
	if bytes.Contains(seen, []byte("ADMIN")) || bytes.Contains(seen, []byte(port)) {
		t.Errorf("the admin port %s is in %s", port, seen)
	}
}

// controllerLink is a connection to the node's controller listener.
func (n *restNode) controllerLink() *nodelink.Link {
	n.t.Helper()
	l := nodelink.New(nodelink.Options{
		Dial: new(net.Dialer).DialContext, Address: func() (string, error) { return n.b.ControllerAddr().String(), nil }, ClientID: "test", Logger: slog.New(slog.DiscardHandler),
	})
	n.t.Cleanup(func() { _ = l.Close() })
	return l
}
