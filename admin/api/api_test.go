package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// fakeCluster is three controllers and two brokers, seen by node 1. Tests change what it answers.
type fakeCluster struct {
	self     protocol.NodeID
	img      *image.Image
	quorum   api.Quorum
	starting bool
	verify   func(ctx context.Context) error
	decide   func(req kmsg.Request) (kmsg.Response, error)
	ask      func(ctx context.Context, to protocol.NodeID, req kmsg.Request) (kmsg.Response, error)
	contact  map[protocol.NodeID]time.Time
}

func (f *fakeCluster) NodeID() protocol.NodeID { return f.self }

func (f *fakeCluster) Image() *image.Image {
	if f.starting {
		return nil
	}
	return f.img
}

// Applied is there before Image, as the quorum is.
func (f *fakeCluster) Applied() *image.Image { return f.img }

func (f *fakeCluster) Quorum() (api.Quorum, bool) { return f.quorum, f.img != nil }

func (f *fakeCluster) VerifyLeader(ctx context.Context) error {
	if f.verify == nil {
		return nil
	}
	return f.verify(ctx)
}

func (f *fakeCluster) Decide(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
	if f.decide == nil {
		return nil, errors.New("nothing may be decided in this test")
	}
	return f.decide(req)
}

func (f *fakeCluster) LastContact(id protocol.NodeID) time.Time { return f.contact[id] }

func (f *fakeCluster) Ask(ctx context.Context, to protocol.NodeID, req kmsg.Request) (kmsg.Response, error) {
	if f.ask == nil {
		return nil, errcode.New(errcode.KindBrokerNotAvailable, "nobody may be asked in this test")
	}
	return f.ask(ctx, to, req)
}

// fakeBroker counts the beats that it is asked for.
type fakeBroker struct {
	mu    sync.Mutex
	beats int
}

func (*fakeBroker) Session() (bool, time.Time) { return true, time.UnixMilli(1700000000000) }

func (f *fakeBroker) BeatSoon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.beats++
}

func (*fakeBroker) HighWatermark(protocol.TopicPartition) (int64, error) { return 42, nil }

// newCluster is node 1, which leads in term 7; topic orders has two partitions, the second without a leader.
func newCluster() *fakeCluster {
	b := image.NewBuilder(image.Empty())
	endpoints := func(listener, host string, port uint16) []image.Endpoint {
		return []image.Endpoint{{Name: listener, Host: host, Port: port}, {Name: image.AdminListener, Host: host, Port: 9091}}
	}
	topic := protocol.TopicID{15: 1}
	records := []metadata.Record{&metadata.ClusterRecord{ClusterID: "cluster"}}
	for id, host := range map[protocol.NodeID]string{1: "one", 2: "two", 3: "three"} {
		records = append(records, &metadata.RegisterControllerRecord{ID: id, Endpoints: endpoints("CONTROLLER", host, 9093)})
	}
	records = append(records, &metadata.RegisterControllerRecord{ID: 4, Endpoints: endpoints("CONTROLLER", "four", 9093)[:1]}) // without an admin port
	rest := map[string]image.FeatureRange{image.RESTRegistration: {Max: 1}}
	records = append(records,
		&metadata.RegisterBrokerRecord{ID: 1, Endpoints: endpoints("PLAINTEXT", "one", 9092)},
		&metadata.RegisterBrokerRecord{ID: 2, Endpoints: endpoints("PLAINTEXT", "two", 9092)},
		&metadata.RegisterBrokerRecord{ID: 101, Endpoints: endpoints("PLAINTEXT", "rest", 8081), Features: rest},
		&metadata.RegisterBrokerRecord{ID: 102, Endpoints: endpoints("PLAINTEXT", "gone", 8081), Features: rest, Fenced: true},
		&metadata.TopicRecord{Name: "orders", ID: topic},
		&metadata.PartitionRecord{TopicID: topic, Partition: 0, PartitionState: metadata.PartitionState{Replicas: []protocol.NodeID{1, 2}, ISR: []protocol.NodeID{1, 2}, Leader: 1}},
		&metadata.PartitionRecord{TopicID: topic, Partition: 1, PartitionState: metadata.PartitionState{Replicas: []protocol.NodeID{2}, ISR: []protocol.NodeID{2}, Leader: -1}},
		&metadata.PartitionRecord{TopicID: topic, Partition: 2, PartitionState: metadata.PartitionState{Replicas: []protocol.NodeID{2, 1}, ISR: []protocol.NodeID{2}, Leader: 2}},
	)
	if err := b.Apply(12, &metadata.Command{Records: records}); err != nil {
		panic(err)
	}
	img, _ := b.Build()
	return &fakeCluster{self: 1, img: img, quorum: api.Quorum{Leader: 1, Term: 7, State: "LEADER", CommitIndex: 12, AppliedIndex: 12, Voters: []protocol.NodeID{1, 2, 3}}}
}

// client talks to an API.
type client struct {
	t   *testing.T
	url string
}

func serve(t *testing.T, c api.Cluster, b api.Broker) client {
	t.Helper()
	s := httptest.NewServer(api.New(api.Options{
		Cluster: c, Broker: b, HeartbeatInterval: 5 * time.Second, SessionTimeout: 30 * time.Second, Logger: slog.New(slog.DiscardHandler),
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host != "here" {
				return nil, errors.New("no such host")
			}
			return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("127.0.0.1")}, nil
		},
	}))
	t.Cleanup(s.Close)
	return client{t, s.URL + api.Prefix}
}

// answer is what came back.
type answer struct {
	*http.Response
	text string
}

func (c client) do(method, path, body string, header ...string) answer {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	h := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := h.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer{resp, strings.TrimSpace(string(text))}
}

// want checks status and error of an answer.
func (a answer) want(t *testing.T, status int, code string) {
	t.Helper()
	var e api.Error
	if err := json.Unmarshal([]byte(a.text), &e); err != nil && code != "" {
		t.Errorf("not JSON: %q: %v", a.text, err)
	}
	if a.StatusCode != status || e.ErrorCode != code && code != "" {
		t.Errorf("got %d %s, want %d %s: %.300s", a.StatusCode, e.ErrorCode, status, code, a.text)
	}
	if status >= 400 && (e.Success || e.Message == "" && a.Header.Get(api.HeaderMessage) == "") {
		t.Errorf("an error without a message: %.300s %v", a.text, a.Header)
	}
}

// leaderOnly is a request to every endpoint that only the active controller answers.
var leaderOnly = []struct{ method, path, body string }{
	{http.MethodPost, "/metadata/heartbeat/101", ""},
	{http.MethodPost, "/metadata/brokers", `{"id":103,"host":"h","port":1}`},
	{http.MethodDelete, "/metadata/brokers/101", ""},
	{http.MethodPost, "/metadata/topics", `{"topicName":"t"}`},
	{http.MethodDelete, "/metadata/topics/orders", ""},
}

func TestAPI_LeaderOnly(t *testing.T) {
	for _, tt := range []struct {
		name       string
		change     func(c *fakeCluster)
		code       string
		leader     string // X-Controller-Leader; "" none
		url        string
		term       int64
		retryAfter bool
	}{
		{"another node leads", func(c *fakeCluster) { c.quorum.Leader, c.quorum.Term = 3, 9 }, "NOT_CONTROLLER", "3", "http://three:9091", 9, false},
		{"a leader without an admin port", func(c *fakeCluster) { c.quorum.Leader, c.quorum.Term = 4, 9 }, "NOT_CONTROLLER", "4", "", 9, false},
		{"nobody leads", func(c *fakeCluster) { c.quorum.Leader = -1 }, "CONTROLLER_NOT_AVAILABLE", "", "", 0, true},
		{"a leader that has not registered yet", func(c *fakeCluster) { c.quorum.Leader = 5 }, "CONTROLLER_NOT_AVAILABLE", "", "", 0, true},
		{"the node starts, and knows nothing", func(c *fakeCluster) { c.starting, c.img = true, nil }, "CONTROLLER_NOT_AVAILABLE", "", "", 0, true},
		{"the node starts, and knows who leads", func(c *fakeCluster) { c.starting, c.quorum.Leader = true, 3 }, "NOT_CONTROLLER", "3", "http://three:9091", 7, false},
		{
			"it believes that it leads, and the quorum does not confirm it",
			func(c *fakeCluster) {
				c.verify = func(context.Context) error { return errcode.New(errcode.KindNotController, "lost") }
			},
			"CONTROLLER_NOT_AVAILABLE", "", "", 0, true,
		},
		{
			"deposed while it is asked",
			func(c *fakeCluster) {
				c.verify = func(context.Context) error {
					c.quorum.Leader, c.quorum.Term = 2, 8
					return errcode.New(errcode.KindNotController, "lost")
				}
			},
			"NOT_CONTROLLER", "2", "http://two:9091", 8, false,
		},
	} {
		for _, rt := range leaderOnly {
			t.Run(tt.name+" "+rt.method+" "+rt.path, func(t *testing.T) {
				c := newCluster()
				tt.change(c)
				a := serve(t, c, nil).do(rt.method, rt.path, rt.body)
				a.want(t, http.StatusServiceUnavailable, tt.code)
				if leader, url := a.Header.Get("X-Controller-Leader"), a.Header.Get("X-Controller-Url"); leader != tt.leader || url != tt.url {
					t.Errorf("got leader %q at %q, want %q at %q", leader, url, tt.leader, tt.url)
				}
				if got := a.Header.Get("Retry-After") != ""; got != tt.retryAfter {
					t.Errorf("Retry-After: got %v, want %v", got, tt.retryAfter)
				}
				var e api.Error
				if err := json.Unmarshal([]byte(a.text), &e); err != nil {
					t.Fatal(err)
				}
				if tt.term > 0 && (e.ControllerTerm == nil || *e.ControllerTerm != tt.term || e.ControllerURL != tt.url) {
					t.Errorf("got %s, want term %d and %s", a.text, tt.term, tt.url)
				}
			})
		}
	}
}

// A controller that loses leadership while it decides says so as if it had never had it.
func TestAPI_LeaderOnly_LostInBetween(t *testing.T) {
	for _, rt := range leaderOnly {
		c := newCluster()
		c.decide = func(kmsg.Request) (kmsg.Response, error) {
			c.quorum.Leader, c.quorum.Term = 3, 8
			return nil, errcode.New(errcode.KindNotController, "the active controller appears to be node 3")
		}
		a := serve(t, c, nil).do(rt.method, rt.path, rt.body)
		a.want(t, http.StatusServiceUnavailable, "NOT_CONTROLLER")
		if got := a.Header.Get("X-Controller-Leader"); got != "3" {
			t.Errorf("%s: got leader %q, want 3", rt.path, got)
		}
	}
}

func TestAPI_VerifyIsBounded(t *testing.T) {
	c := newCluster()
	asked := 0
	c.verify = func(ctx context.Context) error {
		asked++
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 5*time.Second {
			t.Errorf("the quorum may take until %v", deadline)
		}
		return nil
	}
	serve(t, c, nil).do(http.MethodPost, "/metadata/heartbeat/1", "").want(t, http.StatusOK, "")
	if asked != 1 {
		t.Errorf("the quorum was asked %d times, want once", asked)
	}
}

func TestAPI_Refuses(t *testing.T) {
	const produce, consume, topics, brokers, beat, push = "POST /storage/messages", "POST /storage/consume", "POST /metadata/topics", "POST /metadata/brokers", "POST /metadata/heartbeat/", "POST /storage/metadata"
	for _, tt := range []struct {
		name, where, body string
		status            int
		code              string
		message           string
	}{
		{"no body", topics, "", 400, "INVALID_REQUEST", "the body is empty"},
		{"white space", topics, " \n", 400, "INVALID_REQUEST", "the body is empty"},
		{"no JSON", topics, "\n{\"topicName\":]", 400, "INVALID_REQUEST", "line 2 of the body is not JSON"},
		{"JSON that ends too early", topics, `{"topicName":"t"`, 400, "INVALID_REQUEST", "ends too early"},
		{"something behind", topics, `{"topicName":"t"} {}`, 400, "INVALID_REQUEST", "goes on"},
		{"an array", topics, `[]`, 400, "INVALID_REQUEST", "the body is a JSON array, a value of type object is needed"},
		{"a wrong type", topics, `{"topicName":"t","numPartitions":"3"}`, 400, "INVALID_REQUEST", "member numPartitions is a JSON string, a value of type integer is needed"},
		{"a fraction", topics, `{"topicName":"t","numPartitions":1.5}`, 400, "INVALID_REQUEST", "numPartitions"},
		{"a number that is too large", topics, `{"topicName":"t","numPartitions":99999999999999999999}`, 400, "INVALID_REQUEST", "numPartitions"},
		{"deep nesting", topics, strings.Repeat("[", 20_000), 400, "INVALID_REQUEST", "not JSON"},
		{"a topic without a name", topics, `{}`, 400, "INVALID_REQUEST", "topicName is missing"},
		{"two counts that differ", topics, `{"topicName":"t","numPartitions":1,"partitionCount":2}`, 400, "INVALID_REQUEST", "differ"},
		{"no partitions", topics, `{"topicName":"t","numPartitions":0}`, 400, "INVALID_PARTITIONS", "at least 1"},
		{"no replicas", topics, `{"topicName":"t","replicationFactor":-1}`, 400, "INVALID_REPLICATION_FACTOR", "at least 1"},
		{"more replicas than brokers that are there", topics, `{"topicName":"t","replicationFactor":3}`, 400, "INVALID_REPLICATION_FACTOR", "ONLINE, 2"},
		{"a config given twice", topics, `{"topicName":"t","retentionMs":1,"config":{"retention.ms":"2"}}`, 400, "INVALID_CONFIG", "retention.ms is given twice"},

		{"a broker without an id", brokers, `{"host":"h","port":1}`, 400, "INVALID_REQUEST", "id is missing"},
		{"two ids", brokers, `{"id":1,"brokerId":2,"host":"h","port":1}`, 400, "INVALID_REQUEST", "differ"},
		{"a negative id", brokers, `{"id":-1,"host":"h","port":1}`, 400, "INVALID_REQUEST", "negative"},
		{"an id that is too large", brokers, `{"id":3000000000,"host":"h","port":1}`, 400, "INVALID_REQUEST", "member id"},
		{"no host", brokers, `{"id":5,"port":1}`, 400, "INVALID_REQUEST", "host is missing"},
		{"a host that is none", brokers, `{"id":5,"host":"a b\n","port":1}`, 400, "INVALID_REQUEST", "is not a host"},
		{"a long host", brokers, `{"id":5,"host":"` + strings.Repeat("a", 300) + `","port":1}`, 400, "INVALID_REQUEST", "255"},
		{"no port", brokers, `{"id":5,"host":"h"}`, 400, "INVALID_REQUEST", "port 0"},
		{"a port that is too large", brokers, `{"id":5,"host":"h","port":65536}`, 400, "INVALID_REQUEST", "port 65536"},
		{"an admin URL of another scheme", brokers, `{"id":5,"host":"h","port":1,"adminUrl":"file:///etc/passwd"}`, 400, "INVALID_REQUEST", "http or https"},
		{"an admin URL with a path", brokers, `{"id":5,"host":"h","port":1,"adminUrl":"http://h:1/x"}`, 400, "INVALID_REQUEST", "more than host and port"},
		{"an admin URL with a password", brokers, `{"id":5,"host":"h","port":1,"adminUrl":"http://u:p@h:1"}`, 400, "INVALID_REQUEST", "more than host and port"},
		{"an admin URL with a bad port", brokers, `{"id":5,"host":"h","port":1,"adminUrl":"http://h:0"}`, 400, "INVALID_REQUEST", "has the port"},
		{"the id of a native broker", brokers, `{"id":1,"host":"other","port":1}`, 409, "DUPLICATE_BROKER_REGISTRATION", "is a dmq broker"},
		{"the id of one that is ONLINE", brokers, `{"id":101,"host":"other","port":1}`, 409, "DUPLICATE_BROKER_REGISTRATION", "ONLINE"},

		{"a beat of a stranger", beat + "9", "", 404, "BROKER_ID_NOT_REGISTERED", "broker 9"},
		{"a beat of no number", beat + "x", "", 400, "INVALID_REQUEST", "not a broker's id"},
		{"a beat of a negative number", beat + "-1", "", 400, "INVALID_REQUEST", "not a broker's id"},
		{"a beat of a number that is too large", beat + "4294967297", "", 400, "INVALID_REQUEST", "not a broker's id"},
		{"a beat of a path", beat + "..%2F..%2Fetc", "", 400, "INVALID_REQUEST", "not a broker's id"},
		{"a beat with a bad body", beat + "101", `{"metadataVersion":"x"}`, 400, "INVALID_REQUEST", "metadataVersion"},
		{"a broker that is not known", "GET /metadata/brokers/9", "", 404, "BROKER_ID_NOT_REGISTERED", ""},
		{"to forget a broker that is not known", "DELETE /metadata/brokers/9", "", 404, "BROKER_ID_NOT_REGISTERED", ""},

		{"a topic that is not known", "GET /metadata/topics/x", "", 404, "UNKNOWN_TOPIC_OR_PARTITION", ""},
		{"a topic that cannot be", "GET /metadata/topics/..%2F..%2Fetc%2Fpasswd", "", 404, "UNKNOWN_TOPIC_OR_PARTITION", "../../etc/passwd"},
		{"bytes that are no text", "GET /metadata/topics/%ff%00%0a", "", 404, "UNKNOWN_TOPIC_OR_PARTITION", ""},
		{"a long name is not echoed", "GET /metadata/topics/" + strings.Repeat("x", 10_000), "", 404, "UNKNOWN_TOPIC_OR_PARTITION", strings.Repeat("x", 200) + "…"},
		{"to delete a topic that is not known", "DELETE /metadata/topics/x", "", 404, "UNKNOWN_TOPIC_OR_PARTITION", ""},
		{"the leader of a partition that is not known", "GET /metadata/topics/orders/partitions/9/leader", "", 404, "UNKNOWN_TOPIC_OR_PARTITION", "no partition 9"},
		{"the leader of a negative partition", "GET /metadata/topics/orders/partitions/-1/leader", "", 404, "UNKNOWN_TOPIC_OR_PARTITION", ""},
		{"the leader of no number", "GET /metadata/topics/orders/partitions/x/leader", "", 400, "INVALID_REQUEST", ""},
		{"the leader of a partition that has none", "GET /metadata/topics/orders/partitions/1/leader", "", 503, "LEADER_NOT_AVAILABLE", ""},
		{"the high watermark of a replica that is elsewhere", "GET /storage/partitions/orders/1/high-water-mark", "", 404, "REPLICA_NOT_AVAILABLE", ""},

		{"a push without a type", push, `{"controllerId":2,"controllerTerm":8}`, 400, "INVALID_REQUEST", "updateType is missing"},
		{"a push of another type", push, `{"updateType":"TOPICS","controllerId":2,"controllerTerm":8}`, 400, "INVALID_REQUEST", "TOPICS"},
		{"a push without a controller", push, `{"updateType":"CONTROLLER_CHANGED","controllerTerm":8}`, 400, "INVALID_REQUEST", "controllerId is missing"},
		{"a push without a term", push, `{"updateType":"CONTROLLER_CHANGED","controllerId":2}`, 400, "INVALID_REQUEST", "controllerTerm is missing"},
		{"a push with two terms", push, `{"updateType":"CONTROLLER_CHANGED","controllerId":2,"controllerTerm":8,"term":9}`, 400, "INVALID_REQUEST", "differ"},
		{"a push of a node that is no controller", push, `{"updateType":"CONTROLLER_CHANGED","controllerId":101,"controllerTerm":8}`, 400, "INVALID_REQUEST", "no controller of this cluster"},
		{"a push of a second leader in a term", push, `{"updateType":"CONTROLLER_CHANGED","controllerId":2,"controllerTerm":7}`, 400, "INVALID_REQUEST", "leads in term 7"},
		{"a push of an older term", push, `{"updateType":"CONTROLLER_CHANGED","controllerId":2,"term":6}`, 409, "STALE_CONTROLLER_EPOCH", ""},

		{"no topic", produce, `{"messages":[{}]}`, 400, "INVALID_REQUEST", "topic is missing"},
		{"no messages", produce, `{"topic":"orders","messages":[]}`, 400, "INVALID_REQUEST", "messages is missing"},
		{"too many messages", produce, `{"topic":"orders","messages":[` + strings.Repeat("{},", 100_000) + `{}]}`, 413, "RECORD_LIST_TOO_LARGE", ""},
		{"a value that is not base64", produce, `{"topic":"orders","messages":[{"value":"%%%"}]}`, 400, "INVALID_REQUEST", "base64"},
		{"acks that are none", produce, `{"topic":"orders","messages":[{}],"requiredAcks":2}`, 400, "INVALID_REQUIRED_ACKS", ""},
		{"a long time", produce, `{"topic":"orders","messages":[{}],"timeoutMs":10000000}`, 400, "INVALID_REQUEST", "timeoutMs"},
		{"a negative timestamp", produce, `{"topic":"orders","partition":0,"messages":[{"timestamp":-1}]}`, 400, "INVALID_TIMESTAMP", ""},
		{"to produce to a topic that is not known", produce, `{"topic":"x","messages":[{}]}`, 404, "UNKNOWN_TOPIC_OR_PARTITION", ""},
		{"to produce to a partition that is not known", produce, `{"topic":"orders","partition":7,"messages":[{}]}`, 404, "UNKNOWN_TOPIC_OR_PARTITION", ""},
		{"to produce to a partition without a leader", produce, `{"topic":"orders","partition":1,"messages":[{}]}`, 503, "LEADER_NOT_AVAILABLE", ""},
		{"keys of several partitions", produce, `{"topic":"orders","messages":[{"key":"YQ=="},{"key":"Yg=="},{"key":"Yw=="},{"key":"ZA=="}]}`, 400, "INVALID_REQUEST", "several partitions"},

		{"to consume no partition", consume, `{"topic":"orders","offset":0}`, 400, "INVALID_REQUEST", "partition is missing"},
		{"to consume from nowhere", consume, `{"topic":"orders","partition":0}`, 400, "INVALID_REQUEST", "offset is missing"},
		{"to consume from a negative offset", consume, `{"topic":"orders","partition":0,"offset":-5}`, 400, "OFFSET_OUT_OF_RANGE", ""},
		{"to consume nothing", consume, `{"topic":"orders","partition":0,"offset":0,"maxMessages":0}`, 400, "INVALID_REQUEST", "maxMessages"},
		{"to consume too much", consume, `{"topic":"orders","partition":0,"offset":0,"maxBytes":1000000000}`, 400, "INVALID_REQUEST", "maxBytes"},
		{"to wait too long", consume, `{"topic":"orders","partition":0,"offset":0,"maxWaitMs":1000000000}`, 400, "INVALID_REQUEST", "maxWaitMs"},

		{"nothing there", "GET /metadata", "", 404, "NOT_FOUND", "openapi.json"},
		{"another method", "PUT /metadata/topics", "", 405, "METHOD_NOT_ALLOWED", "GET, POST"},
		{"to beat with GET", "GET " + strings.TrimPrefix(beat, "POST ") + "1", "", 405, "METHOD_NOT_ALLOWED", ""},
		{"raft over HTTP", "POST /raft/request-vote", "{}", 410, "GONE", "controller.quorum.voters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method, path, _ := strings.Cut(tt.where, " ")
			a := serve(t, newCluster(), &fakeBroker{}).do(method, path, tt.body)
			a.want(t, tt.status, tt.code)
			if !strings.Contains(a.text, tt.message) {
				t.Errorf("got %.400s, want %q in it", a.text, tt.message)
			}
			if len(a.text) > 1500 || a.Header.Get("X-Error-Message") == "" || a.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%d bytes, headers %v", len(a.text), a.Header)
			}
		})
	}
}

func TestAPI_OtherSites(t *testing.T) {
	c := serve(t, newCluster(), nil)
	c.do(http.MethodPost, "/metadata/heartbeat/1", "", "Sec-Fetch-Site", "cross-site").want(t, http.StatusForbidden, "FORBIDDEN")
	c.do(http.MethodPost, "/metadata/heartbeat/1", "", "Origin", "http://evil.example").want(t, http.StatusForbidden, "FORBIDDEN")
	c.do(http.MethodGet, "/metadata/topics", "", "Sec-Fetch-Site", "cross-site").want(t, http.StatusOK, "")
}

// A node that is a controller alone says so.
func TestAPI_NoBroker(t *testing.T) {
	c := serve(t, newCluster(), nil)
	for _, path := range []string{"/storage/health", "/storage/info", "/storage/partitions/orders/0/high-water-mark"} {
		c.do(http.MethodGet, path, "").want(t, http.StatusNotFound, "BROKER_NOT_AVAILABLE")
	}
	c.do(http.MethodPost, "/storage/metadata", `{"updateType":"CONTROLLER_CHANGED","controllerId":2,"term":8}`).want(t, http.StatusNotFound, "BROKER_NOT_AVAILABLE")
}

// A node that starts does not show metadata that it may not have all of, but says who leads as soon as it knows.
func TestAPI_Starting(t *testing.T) {
	c := newCluster()
	c.starting = true
	client := serve(t, c, &fakeBroker{})
	if got := read[api.Controller](t, client.do(http.MethodGet, "/metadata/controller", ""), http.StatusOK); got.ControllerID != 1 || got.ControllerURL != "http://one:9091" || got.ControllerTerm != 7 {
		t.Errorf("got %+v", got)
	}
	read[api.RaftStatus](t, client.do(http.MethodGet, "/raft/status", ""), http.StatusOK)
	c.img = nil
	for _, path := range []string{
		"/metadata/controller", "/metadata/cluster", "/metadata/brokers", "/metadata/topics", "/metadata/heartbeat/status", "/raft/status", "/raft/state-machine/stats", "/storage/info",
	} {
		a := client.do(http.MethodGet, path, "")
		a.want(t, http.StatusServiceUnavailable, "CONTROLLER_NOT_AVAILABLE")
		if a.Header.Get("Retry-After") != "1" || strings.Contains(a.text, "null") {
			t.Errorf("%s: %v %s", path, a.Header, a.text)
		}
	}
	client.do(http.MethodGet, "/storage/health", "").want(t, http.StatusOK, "")
}
