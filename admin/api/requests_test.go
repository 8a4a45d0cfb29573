package api_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

// read decodes an answer.
func read[A any](t *testing.T, a answer, status int) A {
	t.Helper()
	var out A
	if err := json.Unmarshal([]byte(a.text), &out); err != nil || a.StatusCode != status {
		t.Fatalf("got %d, want %d: %v: %.500s", a.StatusCode, status, err, a.text)
	}
	return out
}

// A REST beat renews the session of a broker that was registered over REST, and of no other.
func TestHeartbeat(t *testing.T) {
	c := newCluster()
	var asked []kmsg.Request
	c.decide = func(req kmsg.Request) (kmsg.Response, error) {
		asked = append(asked, req)
		return req.ResponseKind(), nil
	}
	client := serve(t, c, nil)
	for _, body := range []string{"", `{}`, `{"metadataVersion":3,"timestamp":1,"more":"ignored"}`} {
		got := read[api.HeartbeatAnswer](t, client.do(http.MethodPost, "/metadata/heartbeat/101", body), http.StatusOK)
		if !got.Success || got.MetadataVersion != 12 || got.CurrentVersion != 12 || got.ControllerTerm != 7 || got.BrokerStatus != "ONLINE" {
			t.Errorf("%q: got %+v", body, got)
		}
	}
	if len(asked) != 3 {
		t.Fatalf("the controller was asked %d times, want 3", len(asked))
	}
	beat := asked[0].(*kmsg.BrokerHeartbeatRequest)
	if beat.BrokerID != 101 || beat.BrokerEpoch != 12 || beat.CurrentMetadataOffset != 12 || beat.WantFence || beat.WantShutdown || beat.CordonedLogDirs != nil {
		t.Errorf("got %+v", beat)
	}
	if got := read[api.HeartbeatAnswer](t, client.do(http.MethodPost, "/metadata/heartbeat/2", ""), http.StatusOK); !got.Success || !strings.Contains(got.Message, "does not renew") {
		t.Errorf("a native broker: got %+v", got)
	}
	if len(asked) != 3 {
		t.Error("the beat for a native broker reached the controller")
	}
	if got := read[api.HeartbeatAnswer](t, client.do(http.MethodPost, "/metadata/heartbeat/102", ""), http.StatusOK); got.BrokerStatus != "OFFLINE" {
		t.Errorf("what the metadata say counts: got %+v", got)
	}
}

func TestHeartbeat_Refused(t *testing.T) {
	c := newCluster()
	c.decide = func(req kmsg.Request) (kmsg.Response, error) {
		resp := req.ResponseKind().(*kmsg.BrokerHeartbeatResponse)
		resp.ErrorCode = 77
		return resp, nil
	}
	serve(t, c, nil).do(http.MethodPost, "/metadata/heartbeat/101", "").want(t, http.StatusServiceUnavailable, "STALE_BROKER_EPOCH")
}

func TestHeartbeatStatus(t *testing.T) {
	c := newCluster()
	c.contact = map[protocol.NodeID]time.Time{1: time.Now(), 102: time.Now().Add(-time.Minute)}
	got := read[api.HeartbeatStatus](t, serve(t, c, nil).do(http.MethodGet, "/metadata/heartbeat/status", ""), http.StatusOK)
	if got.TimeoutMs != 30000 || got.IntervalMs != 5000 || !got.IsLeader || len(got.Brokers) != 4 {
		t.Fatalf("got %+v", got)
	}
	for i, want := range []struct {
		id     int32
		status string
		known  bool
		stale  bool
	}{{1, "ONLINE", true, false}, {2, "ONLINE", false, false}, {101, "ONLINE", false, false}, {102, "OFFLINE", true, true}} {
		if b := got.Brokers[i]; b.ID != want.id || b.Status != want.status || b.LastHeartbeatAgeMs >= 0 != want.known || b.Stale != want.stale {
			t.Errorf("got %+v, want %+v", b, want)
		}
	}
}

// A registration becomes Kafka's, with what marks it as one of REST's.
func TestRegisterBroker(t *testing.T) {
	c := newCluster()
	var reg *kmsg.BrokerRegistrationRequest
	beats := 0
	c.decide = func(req kmsg.Request) (kmsg.Response, error) {
		switch r := req.(type) {
		case *kmsg.BrokerRegistrationRequest:
			reg = r
			next := *c.img
			next.Brokers = maps.Clone(c.img.Brokers)
			b := &image.Broker{ID: protocol.NodeID(r.BrokerID), Epoch: 13, Fenced: true, Features: map[string]image.FeatureRange{}, RegisteredAt: 1700000000000, Rack: r.Rack}
			for _, f := range r.Features {
				b.Features[f.Name] = image.FeatureRange{Max: f.MaxSupportedVersion}
			}
			for _, l := range r.Listeners {
				b.Endpoints = append(b.Endpoints, image.Endpoint{Name: l.Name, Host: l.Host, Port: l.Port, SecurityProtocol: l.SecurityProtocol})
			}
			next.Brokers[b.ID] = b
			c.img = &next
		case *kmsg.BrokerHeartbeatRequest:
			beats++
			next := *c.img
			next.Brokers = maps.Clone(c.img.Brokers)
			b := *next.Brokers[protocol.NodeID(r.BrokerID)]
			b.Fenced = false
			next.Brokers[b.ID] = &b
			c.img = &next
		}
		return req.ResponseKind(), nil
	}
	client := serve(t, c, nil)
	got := read[api.BrokerInfo](t, client.do(http.MethodPost, "/metadata/brokers", `{"brokerId":103,"host":"b","port":8083,"rack":"r","adminUrl":"https://here:99/"}`), http.StatusOK)
	want := api.BrokerInfo{
		ID: 103, BrokerID: 103, Host: "b", Port: 8083, Address: "b:8083", Status: "ONLINE", Rack: "r", AdminURL: "https://here:99", BrokerEpoch: 13,
		RegisteredAt: 1700000000000, LastHeartbeat: -1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if reg.ClusterID != "cluster" || reg.PreviousBrokerEpoch != -1 || len(reg.LogDirs) != 1 || reg.IncarnationID == [16]byte{} || len(reg.Listeners) != 2 || reg.Listeners[0].Name != "PLAINTEXT" {
		t.Errorf("got %+v", reg)
	}
	if !slices.ContainsFunc(reg.Features, func(f kmsg.BrokerRegistrationRequestFeature) bool {
		return f.Name == "metadata.version" && f.MinSupportedVersion == 0 && f.MaxSupportedVersion == math.MaxInt16
	}) {
		t.Errorf("features: %+v", reg.Features)
	}
	if beats != 1 {
		t.Errorf("got %d beats, want 1: whoever registers is alive", beats)
	}
	reg = nil
	again := read[api.BrokerInfo](t, client.do(http.MethodPost, "/metadata/brokers", `{"id":103,"host":"b","port":8083}`), http.StatusOK)
	if diff := cmp.Diff(want, again); diff != "" || reg != nil {
		t.Errorf("registered again: %s", diff)
	}
	read[api.BrokerInfo](t, client.do(http.MethodPost, "/metadata/brokers", `{"id":2,"host":"two","port":9092}`), http.StatusOK) // a native one, as it is
	if reg != nil {
		t.Error("a native broker was registered anew")
	}
	// One that is OFFLINE may come from another address.
	if got := read[api.BrokerInfo](t, client.do(http.MethodPost, "/metadata/brokers", `{"id":102,"host":"here","port":1}`), http.StatusOK); got.Host != "here" || got.AdminURL != "http://127.0.0.1:1" || got.Status != "ONLINE" {
		t.Errorf("got %+v", got)
	}
}

// Elections are pushed to the host that a registration comes from, and to no other: whoever may register must not have the
// controller send requests wherever it can.
func TestRegisterBroker_Push(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		header     []string
		want       string // of the ADMIN endpoint; "" none
	}{
		{"its own address", `"host":"127.0.0.1","port":8083`, nil, "http://127.0.0.1:8083"},
		{"its own name: the address is kept, names may change", `"host":"here","port":8083`, nil, "http://127.0.0.1:8083"},
		{"another port", `"host":"b","port":1,"adminUrl":"http://here:99"`, nil, "http://127.0.0.1:99"},
		{"TLS checks the name", `"host":"b","port":1,"adminUrl":"https://here"`, nil, "https://here:443"},
		{"mapped to IPv6", `"host":"::ffff:127.0.0.1","port":1`, nil, "http://127.0.0.1:1"},
		{"another address", `"host":"127.0.0.1","port":1,"adminUrl":"http://192.0.2.1:80"`, nil, ""},
		{"the address of another interface", `"host":"127.0.0.2","port":1`, nil, ""},
		{"another name", `"host":"elsewhere","port":1`, nil, ""},
		{"through a proxy", `"host":"127.0.0.1","port":1`, []string{"X-Forwarded-For", "192.0.2.7"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCluster()
			got := "not asked"
			c.decide = func(req kmsg.Request) (kmsg.Response, error) {
				var endpoints []image.Endpoint
				for _, l := range req.(*kmsg.BrokerRegistrationRequest).Listeners {
					endpoints = append(endpoints, image.Endpoint{Name: l.Name, Host: l.Host, Port: l.Port, SecurityProtocol: l.SecurityProtocol})
				}
				got = image.AdminURL(endpoints)
				return nil, errors.New("enough")
			}
			serve(t, c, nil).do(http.MethodPost, "/metadata/brokers", `{"id":103,`+tt.body+`}`, tt.header...)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRegisterBroker_TooMany(t *testing.T) {
	c := newCluster()
	brokers := maps.Clone(c.img.Brokers)
	for id := protocol.NodeID(1000); id < 2000; id++ {
		b := *brokers[101]
		b.ID = id
		brokers[id] = &b
	}
	c.img.Brokers = brokers
	serve(t, c, nil).do(http.MethodPost, "/metadata/brokers", `{"id":103,"host":"b","port":8083}`).want(t, http.StatusBadRequest, "POLICY_VIOLATION")
	serve(t, c, nil).do(http.MethodPost, "/metadata/brokers", `{"id":1000,"host":"rest","port":8081}`).want(t, http.StatusOK, "")
}

func TestRegisterBroker_Refused(t *testing.T) {
	c := newCluster()
	c.decide = func(req kmsg.Request) (kmsg.Response, error) {
		resp := req.ResponseKind().(*kmsg.BrokerRegistrationResponse)
		resp.ErrorCode = 101
		return resp, nil
	}
	serve(t, c, nil).do(http.MethodPost, "/metadata/brokers", `{"id":103,"host":"b","port":8083}`).want(t, http.StatusConflict, "DUPLICATE_BROKER_REGISTRATION")
}

func TestCreateTopic(t *testing.T) {
	c := newCluster()
	var asked *kmsg.CreateTopicsRequest
	c.decide = func(req kmsg.Request) (kmsg.Response, error) {
		asked = req.(*kmsg.CreateTopicsRequest)
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic = asked.Topics[0].Topic
		if rt.Topic == "orders" {
			rt.ErrorCode, rt.ErrorMessage = 36, new("Topic 'orders' already exists.")
		}
		resp.Topics = append(resp.Topics, rt)
		return resp, nil
	}
	client := serve(t, c, nil)
	client.do(http.MethodPost, "/metadata/topics", `{"topicName":"orders","replicationFactor":9}`).want(t, http.StatusConflict, "TOPIC_ALREADY_EXISTS")
	a := client.do(http.MethodPost, "/metadata/topics", `{"topicName":"t-1","partitionCount":3,"replicationFactor":2,"retentionMs":1,"retentionBytes":2,"segmentBytes":3,
		"compressionType":"lz4","minInsyncReplicas":2,"config":{"cleanup.policy":"compact","retention.ms":"1"}}`)
	a.want(t, http.StatusNotFound, "UNKNOWN_TOPIC_OR_PARTITION") // the fake does not create it
	got := map[string]string{}
	for _, c := range asked.Topics[0].Configs {
		got[c.Name] = *c.Value
	}
	want := map[string]string{"retention.ms": "1", "retention.bytes": "2", "segment.bytes": "3", "compression.type": "lz4", "min.insync.replicas": "2", "cleanup.policy": "compact"}
	if diff := cmp.Diff(want, got); diff != "" || asked.Topics[0].NumPartitions != 3 || asked.Topics[0].ReplicationFactor != 2 {
		t.Errorf("%s, got %+v", diff, asked.Topics[0])
	}
	client.do(http.MethodPost, "/metadata/topics", `{"topicName":"t"}`)
	if asked.Topics[0].NumPartitions != -1 || asked.Topics[0].ReplicationFactor != -1 {
		t.Errorf("the defaults: got %+v", asked.Topics[0])
	}
}

// A push tells whom to talk to, for as long as the quorum does not know.
func TestPush(t *testing.T) {
	c, b := newCluster(), &fakeBroker{}
	client := serve(t, c, b)
	push := func(id, term int) answer {
		return client.do(http.MethodPost, "/storage/metadata", fmt.Sprintf(`{"updateType":"CONTROLLER_CHANGED","controllerId":%d,"controllerUrl":"http://evil","controllerTerm":%d,"version":99}`, id, term))
	}
	controller := func() api.Controller {
		return read[api.Controller](t, client.do(http.MethodGet, "/metadata/controller", ""), http.StatusOK)
	}
	if got := read[api.PushAnswer](t, push(3, 8), http.StatusOK); !got.Success || got.ErrorCode != "NONE" || got.BrokerID != 1 || got.ProcessedTimestamp == 0 {
		t.Errorf("got %+v", got)
	}
	if got := controller(); got.ControllerID != 3 || got.ControllerTerm != 8 || got.ControllerURL != "http://three:9091" {
		t.Errorf("got %+v, want node 3 where it is registered", got)
	}
	if b.beats != 1 {
		t.Errorf("got %d beats, want one at once", b.beats)
	}
	if got := read[api.Health](t, client.do(http.MethodGet, "/storage/health", ""), http.StatusOK); got.CurrentController != 3 || got.MetadataVersion != 12 {
		t.Errorf("got %+v: the version is that of the metadata at hand", got)
	}
	read[api.PushAnswer](t, push(3, 8), http.StatusOK) // once more
	stale := push(2, 7)
	if got := read[api.PushAnswer](t, stale, http.StatusConflict); got.Success || got.ErrorCode != "STALE_CONTROLLER_EPOCH" || got.ErrorMessage == "" || got.BrokerID != 1 {
		t.Errorf("got %+v", got)
	}
	c.quorum.Leader, c.quorum.Term = 2, 9
	if got := controller(); got.ControllerID != 2 || got.ControllerTerm != 9 {
		t.Errorf("got %+v, want what the quorum says now", got)
	}
	read[api.PushAnswer](t, push(3, 8), http.StatusConflict)
}

func TestController(t *testing.T) {
	c := newCluster()
	client := serve(t, c, nil)
	if got := read[api.Controller](t, client.do(http.MethodGet, "/metadata/controller", ""), http.StatusOK); got.ControllerID != 1 || got.ControllerTerm != 7 || got.ControllerURL != "http://one:9091" || got.Timestamp == 0 {
		t.Errorf("got %+v", got)
	}
	c.quorum.Leader = -1
	a := client.do(http.MethodGet, "/metadata/controller", "")
	a.want(t, http.StatusServiceUnavailable, "CONTROLLER_NOT_AVAILABLE")
	if a.Header.Get("Retry-After") != "1" || len(a.Header.Values("X-Controller-Leader")) > 0 {
		t.Errorf("headers: %v", a.Header)
	}
}

func TestCluster_Nodes(t *testing.T) {
	c := newCluster()
	c.quorum.LastContact = map[protocol.NodeID]time.Time{1: time.Now(), 2: time.Now().Add(-time.Minute), 3: {}}
	client := serve(t, c, nil)
	leads := read[api.ClusterMetadata](t, client.do(http.MethodGet, "/metadata/cluster", ""), http.StatusOK)
	if leads.Version != 12 || leads.TotalPartitions != 3 || leads.ControllerLeaderID != 1 || leads.ClusterID != "cluster" || len(leads.Brokers) != 4 || len(leads.Topics) != 1 {
		t.Errorf("got %+v", leads)
	}
	healthy := func(m api.ClusterMetadata) (out []bool) {
		for _, n := range m.ActiveMetadataNodes {
			out = append(out, n.Healthy)
		}
		return out
	}
	if got := healthy(leads); !slices.Equal(got, []bool{true, false, false}) {
		t.Errorf("the leader: got %v", got)
	}
	c.self, c.quorum.LastContact = 3, nil
	follows := read[api.ClusterMetadata](t, client.do(http.MethodGet, "/metadata/cluster", ""), http.StatusOK)
	if got := healthy(follows); !slices.Equal(got, []bool{true, true, true}) { // node 2 is a broker that is ONLINE
		t.Errorf("a follower: got %v", got)
	}
	if p := leads.Topics[0].Partitions[2]; p.Leader != 2 || !slices.Equal(p.Replicas, []int32{1}) || !slices.Equal(p.ISR, []int32{2}) {
		t.Errorf("replicas are those other than the leader: got %+v", p)
	}
}

func TestStorage(t *testing.T) {
	client := serve(t, newCluster(), &fakeBroker{})
	info := read[api.StorageInfo](t, client.do(http.MethodGet, "/storage/info", ""), http.StatusOK)
	want := api.StorageInfo{
		BrokerID: 1, Host: "one", Port: 9092, Status: "ONLINE", LeaderPartitions: map[string][]int32{"orders": {0}}, ReplicaPartitions: map[string][]int32{"orders": {2}}, MetadataVersion: 12,
	}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Error(diff)
	}
	if a := client.do(http.MethodGet, "/storage/partitions/orders/0/high-water-mark", ""); a.text != "42" {
		t.Errorf("got %q, want a bare integer", a.text)
	}
}

// Offsets come from the leaders; what is not answered is -1.
func TestTopic_Offsets(t *testing.T) {
	c := newCluster()
	c.ask = func(_ context.Context, to protocol.NodeID, req kmsg.Request) (kmsg.Response, error) {
		if to == 2 {
			return nil, errors.New("nobody there")
		}
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		rt := kmsg.NewListOffsetsResponseTopic()
		for _, p := range req.(*kmsg.ListOffsetsRequest).Topics[0].Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Offset = p.Partition, map[int64]int64{-2: 5, -1: 9}[p.Timestamp]
			rt.Partitions = append(rt.Partitions, rp)
		}
		stray := kmsg.NewListOffsetsResponseTopicPartition()
		stray.Partition = 77
		rt.Partitions = append(rt.Partitions, stray)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil
	}
	got := read[api.Topic](t, serve(t, c, nil).do(http.MethodGet, "/metadata/topics/orders", ""), http.StatusOK)
	for i, want := range [][2]int64{{5, 9}, {-1, -1}, {-1, -1}} {
		if p := got.Partitions[i]; *p.StartOffset != want[0] || *p.EndOffset != want[1] {
			t.Errorf("partition %d: got %d to %d, want %v", i, *p.StartOffset, *p.EndOffset, want)
		}
	}
}

// Records go to the leader: this node, or another one that the client, or this node, asks.
func TestProduce_Leader(t *testing.T) {
	c := newCluster()
	var to protocol.NodeID
	c.ask = func(_ context.Context, id protocol.NodeID, req kmsg.Request) (kmsg.Response, error) {
		to = id
		produce := req.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		rt := kmsg.NewProduceResponseTopic()
		rp := kmsg.NewProduceResponseTopicPartition()
		rp.Partition, rp.BaseOffset, rp.LogAppendTime = produce.Topics[0].Partitions[0].Partition, 10, -1
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil
	}
	client := serve(t, c, nil)
	body := func(partition int) string {
		return fmt.Sprintf(`{"topic":"orders","partition":%d,"messages":[{"value":"dg==","timestamp":5},{"value":null}]}`, partition)
	}
	got := read[api.ProduceAnswer](t, client.do(http.MethodPost, "/storage/messages", body(0)), http.StatusOK)
	if to != 1 || !got.Success || len(got.Results) != 2 || got.Results[0].Offset != 10 || got.Results[0].Timestamp != 5 || got.Results[1].Offset != 11 {
		t.Errorf("asked %d, got %+v", to, got)
	}
	to = 0
	a := client.do(http.MethodPost, "/storage/messages", body(2))
	a.want(t, http.StatusTemporaryRedirect, "NOT_LEADER_FOR_PARTITION")
	if got := a.Header.Get("Location"); got != "http://two:9091/api/v1/storage/messages" || to != 0 {
		t.Errorf("asked %d, sent to %q", to, got)
	}
	read[api.ProduceAnswer](t, client.do(http.MethodPost, "/storage/messages?forward=true", body(2)), http.StatusOK)
	if to != 2 {
		t.Errorf("asked %d, want 2", to)
	}
	if a := client.do(http.MethodPost, "/storage/consume", `{"topic":"orders","partition":2,"offset":0}`); a.StatusCode != http.StatusTemporaryRedirect || a.Header.Get("Location") != "http://two:9091/api/v1/storage/consume" {
		t.Errorf("got %d %v", a.StatusCode, a.Header)
	}
}

// The partition of a key is the one that Kafka's own clients choose: the hashes are those of Kafka's UtilsTest.
func TestProduce_Partition(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                       0, // murmur2: -973932308
		"foobar":                   0, // -790332482
		"a-little-bit-long-string": 2, // -985981536
	} {
		c := newCluster()
		got := int32(-1)
		c.ask = func(_ context.Context, _ protocol.NodeID, req kmsg.Request) (kmsg.Response, error) {
			got = req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Partition
			return nil, errors.New("enough")
		}
		text := base64.StdEncoding.EncodeToString([]byte(key))
		serve(t, c, nil).do(http.MethodPost, "/storage/messages?forward=true", fmt.Sprintf(`{"topic":"orders","messages":[{"key":%q},{"value":"dg=="},{"key":%q}]}`, text, text))
		if got != want {
			t.Errorf("%q: got partition %d, want %d", key, got, want)
		}
	}
}

func TestProduce_Errors(t *testing.T) {
	for code, want := range map[int16]struct {
		status int
		name   string
	}{
		10: {413, "MESSAGE_TOO_LARGE"}, 19: {503, "NOT_ENOUGH_REPLICAS"}, 6: {503, "NOT_LEADER_FOR_PARTITION"}, 7: {504, "REQUEST_TIMED_OUT"}, 56: {500, "KAFKA_STORAGE_ERROR"},
		87: {400, "INVALID_RECORD"}, 29: {403, "TOPIC_AUTHORIZATION_FAILED"},
	} {
		c := newCluster()
		c.ask = func(_ context.Context, _ protocol.NodeID, req kmsg.Request) (kmsg.Response, error) {
			resp := req.ResponseKind().(*kmsg.ProduceResponse)
			rt := kmsg.NewProduceResponseTopic()
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.ErrorCode, rp.BaseOffset = code, -1
			rt.Partitions = append(rt.Partitions, rp)
			resp.Topics = append(resp.Topics, rt)
			return resp, nil
		}
		serve(t, c, nil).do(http.MethodPost, "/storage/messages", `{"topic":"orders","partition":0,"messages":[{"value":"dg=="}]}`).want(t, want.status, want.name)
	}
}

// batch builds a batch of records from an offset on.
func batch(t *testing.T, o records.BuilderOptions, values ...string) []byte {
	t.Helper()
	b := records.NewBuilder(o)
	for _, v := range values {
		b.Append(1000, nil, []byte(v))
	}
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func consumed(t *testing.T, highWatermark int64, raw []byte, body string, aborted ...kmsg.FetchResponseTopicPartitionAbortedTransaction) answer {
	t.Helper()
	c := newCluster()
	c.ask = func(_ context.Context, _ protocol.NodeID, req kmsg.Request) (kmsg.Response, error) {
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		rt := kmsg.NewFetchResponseTopic()
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.HighWatermark, rp.RecordBatches = highWatermark, raw
		if req.(*kmsg.FetchRequest).IsolationLevel == 1 {
			rp.AbortedTransactions = aborted
		}
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil
	}
	return serve(t, c, nil).do(http.MethodPost, "/storage/consume", body)
}

func TestConsume(t *testing.T) {
	first := batch(t, records.BuilderOptions{BaseOffset: 0, Codec: compress.Zstd}, "0", "1", "2")
	control := batch(t, records.BuilderOptions{BaseOffset: 3, Control: true, Transactional: true, HasProducer: true, ProducerID: 1}, "control")
	second := batch(t, records.BuilderOptions{BaseOffset: 4}, "4", "5", "6")
	all := slices.Concat(first, control, second)
	for _, tt := range []struct {
		name string
		end  int64
		raw  []byte
		ask  string
		want []int64
		next int64
	}{
		{"everything but control records", 7, all, `"offset":0`, []int64{0, 1, 2, 4, 5, 6}, 7},
		{"from within a batch", 7, all, `"offset":2`, []int64{2, 4, 5, 6}, 7},
		{"not beyond the high watermark", 5, all, `"offset":0`, []int64{0, 1, 2, 4}, 5},
		{"as many as are wanted", 7, all, `"offset":0,"maxMessages":2`, []int64{0, 1}, 2},
		{"a batch that is cut", 7, all[:len(all)-1], `"offset":0`, []int64{0, 1, 2}, 4},
		{"control records alone", 7, control, `"offset":3`, []int64{}, 4},
		{"nothing", 0, nil, `"offset":0`, []int64{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := consumed(t, tt.end, tt.raw, `{"topic":"orders","partition":0,`+tt.ask+`}`)
			got := read[api.ConsumeAnswer](t, a, http.StatusOK)
			offsets := []int64{}
			for _, m := range got.Messages {
				offsets = append(offsets, m.Offset)
				if m.Topic != "orders" || m.Timestamp != 1000 || string(m.Value) != fmt.Sprint(m.Offset) || m.Headers == nil {
					t.Errorf("got %+v", m)
				}
			}
			if !slices.Equal(offsets, tt.want) || got.HighWaterMark != tt.end || got.NextOffset != tt.next || !got.Success || strings.Contains(a.text, `"messages":null`) {
				t.Errorf("got %v of %s, want %v", offsets, a.text, tt.want)
			}
		})
	}
}

// Records of aborted transactions are left out, unless they are asked for.
func TestConsume_Aborted(t *testing.T) {
	transaction := func(offset, producer int64, values ...string) []byte {
		return batch(t, records.BuilderOptions{BaseOffset: offset, Transactional: true, HasProducer: true, ProducerID: producer}, values...)
	}
	marker := func(offset, producer int64) []byte {
		return batch(t, records.BuilderOptions{BaseOffset: offset, Control: true, Transactional: true, HasProducer: true, ProducerID: producer}, "marker")
	}
	raw := slices.Concat(
		transaction(0, 1, "0", "1"), transaction(2, 2, "2"), batch(t, records.BuilderOptions{BaseOffset: 3}, "3"),
		marker(4, 1), transaction(5, 1, "5"), transaction(6, 2, "6"), marker(7, 2), marker(8, 1), transaction(9, 2, "9"), marker(10, 2),
	)
	aborted := []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 2, FirstOffset: 2}, {ProducerID: 1, FirstOffset: 0}} // as they ended
	for isolation, want := range map[string][]int64{
		"":                                     {3, 5, 9},
		`,"isolationLevel":"read_committed"`:   {3, 5, 9},
		`,"isolationLevel":"read_uncommitted"`: {0, 1, 2, 3, 5, 6, 9},
	} {
		got := read[api.ConsumeAnswer](t, consumed(t, 11, raw, `{"topic":"orders","partition":0,"offset":0`+isolation+`}`, aborted...), http.StatusOK)
		var offsets []int64
		for _, m := range got.Messages {
			offsets = append(offsets, m.Offset)
		}
		if !slices.Equal(offsets, want) || got.NextOffset != 11 {
			t.Errorf("%s: got %v, next %d, want %v", isolation, offsets, got.NextOffset, want)
		}
	}
	consumed(t, 11, raw, `{"topic":"orders","partition":0,"offset":0,"isolationLevel":"serializable"}`).want(t, http.StatusBadRequest, "INVALID_REQUEST")
}

func TestConsume_Corrupt(t *testing.T) {
	raw := batch(t, records.BuilderOptions{}, "value")
	raw[61] = 0x7f // the first record claims to be longer than the batch
	consumed(t, 1, raw, `{"topic":"orders","partition":0,"offset":0}`).want(t, http.StatusInternalServerError, "CORRUPT_MESSAGE")
	// A few kilobytes that would become far more than a node should hold.
	bomb := batch(t, records.BuilderOptions{Codec: compress.Zstd}, strings.Repeat("x", 100<<20))
	consumed(t, 1, bomb, `{"topic":"orders","partition":0,"offset":0}`).want(t, http.StatusInternalServerError, "CORRUPT_MESSAGE")
}

func TestBodies(t *testing.T) {
	client := serve(t, newCluster(), nil)
	client.do(http.MethodPost, "/metadata/topics", `{"topicName":"`+strings.Repeat("x", 100_000)+`"}`).want(t, http.StatusRequestEntityTooLarge, "MESSAGE_TOO_LARGE")
	client.do(http.MethodPost, "/storage/messages", `{"topic":"`+strings.Repeat("x", 17<<20)+`"}`).want(t, http.StatusRequestEntityTooLarge, "MESSAGE_TOO_LARGE")
	client.do(http.MethodPost, "/storage/messages", `{"topic":"`+strings.Repeat("x", 15<<20)+`","messages":[{}]}`).want(t, http.StatusNotFound, "UNKNOWN_TOPIC_OR_PARTITION")
	// Two bytes that become a record of many.
	client.do(http.MethodPost, "/storage/messages", `{"topic":"orders","messages":[{}`+strings.Repeat(",{}", 5<<20)+`]}`).want(t, http.StatusRequestEntityTooLarge, "MESSAGE_TOO_LARGE")
}
