package handler

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// control is a handler over a fixed image and a scripted controller.
type control struct {
	*Handler
	img      *image.Image
	asked    []kmsg.Request
	answer   func(kmsg.Request) (kmsg.Response, error)
	onCreate func(*kmsg.CreateTopicsRequest)
	levels   map[string]string
}

func (c *control) Image() *image.Image { return c.img }

func (c *control) Leader() (protocol.NodeID, int64, bool) { return 1, 3, true }

func (c *control) Handle(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
	c.asked = append(c.asked, req)
	if create, ok := req.(*kmsg.CreateTopicsRequest); ok && c.onCreate != nil {
		c.onCreate(create)
	}
	if c.answer != nil {
		return c.answer(req)
	}
	return req.ResponseKind(), nil
}

func (c *control) Levels() map[string]string { return c.levels }

func (c *control) SetLevel(logger, level string) error {
	c.levels[logger] = level
	return nil
}

func (c *control) ResetLevel(logger string) error {
	c.levels[logger] = "INFO"
	return nil
}

const testListener = "PLAINTEXT"

func newControl(t *testing.T, set ...string) *control {
	t.Helper()
	props, _, err := config.Load(config.Sources{Set: append([]string{"log.dirs=" + t.TempDir()}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	c := &control{img: testImage(), levels: map[string]string{"root": "INFO"}}
	c.Handler = New(Deps{
		NodeID: 1, Config: props, Images: c, Leader: c, Controller: c, LogLevels: c,
		Features: map[string]image.FeatureRange{"metadata.version": {Min: 7, Max: 33}, "zero.version": {Min: 0, Max: 1}},
		Logger:   slog.New(slog.DiscardHandler),
	})
	return c
}

// testImage has two live brokers, a fenced one and one that listens elsewhere.
func testImage() *image.Image {
	endpoint := func(name, host string) []image.Endpoint {
		return []image.Endpoint{{Name: name, Host: host, Port: 9092}}
	}
	img := &image.Image{
		Version: 50, ClusterID: "cluster", Features: map[string]int16{"metadata.version": 33}, FeaturesEpoch: 4,
		Brokers: map[protocol.NodeID]*image.Broker{
			1: {ID: 1, Endpoints: endpoint(testListener, "a")},
			2: {ID: 2, Endpoints: endpoint(testListener, "b"), Fenced: true},
			3: {ID: 3, Endpoints: endpoint(testListener, "c"), Rack: new("r3")},
			4: {ID: 4, Endpoints: endpoint("OTHER", "d")},
		},
		Controllers: map[protocol.NodeID]*image.Controller{1: {ID: 1, Endpoints: endpoint("CONTROLLER", "a")}},
		Configs: map[image.Resource]map[string]string{
			{Type: image.ResourceTopic, Name: "orders"}:  {"retention.ms": "1000"},
			{Type: image.ResourceGroup, Name: "billing"}: {"consumer.session.timeout.ms": "50000"},
			{Type: image.ResourceBroker, Name: ""}:       {"log.retention.ms": "5000"},
			{Type: image.ResourceBroker, Name: "1"}:      {"log.cleaner.threads": "2"},
		},
	}
	add := func(name string, id byte, partitions ...image.Partition) {
		topic := &image.Topic{Name: name, ID: protocol.TopicID{id}, Partitions: partitions}
		img.Topics, img.TopicNames = img.Topics.With(name, topic), img.TopicNames.With(topic.ID, name)
	}
	ids := func(n ...protocol.NodeID) []protocol.NodeID { return n }
	add("orders", 1,
		image.Partition{Replicas: ids(1, 2), ISR: ids(1, 2), Leader: 1, LeaderEpoch: 5},
		image.Partition{Replicas: ids(2, 3), ISR: ids(2), Leader: image.NoLeader, LeaderEpoch: 6, ELR: ids(3)},
		image.Partition{Replicas: ids(4), ISR: ids(4), Leader: 4, LeaderEpoch: 7})
	add("__consumer_offsets", 2, image.Partition{Replicas: ids(3), ISR: ids(3), Leader: 3})
	return img
}

func (c *control) call(t *testing.T, req kmsg.Request, version int16) kmsg.Response {
	t.Helper()
	return c.callOn(t, protocol.ScopeBroker, req, version)
}

func (c *control) callOn(t *testing.T, scope protocol.Scope, req kmsg.Request, version int16) kmsg.Response {
	t.Helper()
	req.SetVersion(version)
	r := &listener.Request{
		Header: protocol.RequestHeader{Key: req.Key(), Version: version}, Body: req,
		Conn: &listener.ConnInfo{ListenerName: testListener, Scope: scope, RemoteAddr: &net.TCPAddr{}},
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reply, ok := c.Serve(ctx, r).(listener.Reply)
	if !ok {
		t.Fatalf("%T is not answered", req)
	}
	reply.Message.SetVersion(version)
	return reply.Message
}

func TestHandler_TableIsThatOfTheProtocol(t *testing.T) {
	c := newControl(t)
	for _, api := range protocol.APIs() {
		if c.apis[api.Key] == nil {
			t.Errorf("%s is advertised and has no handler", api.Name)
		}
		delete(c.apis, api.Key)
	}
	for k := range c.apis {
		t.Errorf("%s has a handler and is not advertised", kmsg.NameForKey(k))
	}
}

func metadataRequest(names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, n := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = new(n)
		req.Topics = append(req.Topics, topic)
	}
	return req
}

func TestMetadata_Partitions(t *testing.T) {
	c := newControl(t)
	resp := c.call(t, metadataRequest("orders"), 12).(*kmsg.MetadataResponse)
	if got := len(resp.Topics); got != 1 {
		t.Fatalf("got %d topics", got)
	}
	var got []string
	for _, p := range resp.Topics[0].Partitions {
		got = append(got, strings.Join([]string{kerrName(p.ErrorCode), itoa(int(p.Leader)), itoa(int(p.LeaderEpoch)), ints(p.Replicas), ints(p.ISR), ints(p.OfflineReplicas)}, " "))
	}
	want := []string{
		"NONE 1 5 1,2 1,2 2",
		"LEADER_NOT_AVAILABLE -1 6 2,3 2 2",
		"LISTENER_NOT_FOUND -1 7 4 4 4",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
	old := c.call(t, metadataRequest("orders"), 0).(*kmsg.MetadataResponse).Topics[0].Partitions
	if got := kerrName(old[0].ErrorCode) + " " + ints(old[0].Replicas); got != "REPLICA_NOT_AVAILABLE 1" {
		t.Errorf("v0 got %q", got)
	}
	if got := kerrName(old[2].ErrorCode); got != "LEADER_NOT_AVAILABLE" {
		t.Errorf("v0 got %s for a leader that listens elsewhere", got)
	}
}

func TestMetadata_Brokers(t *testing.T) {
	resp := newControl(t).call(t, metadataRequest(), 12).(*kmsg.MetadataResponse)
	var got []string
	for _, b := range resp.Brokers {
		got = append(got, itoa(int(b.NodeID))+b.Host)
	}
	if diff := cmp.Diff([]string{"1a", "3c"}, got); diff != "" {
		t.Errorf("brokers (-want +got):\n%s", diff)
	}
	if len(resp.Topics) != 0 || *resp.ClusterID != "cluster" {
		t.Errorf("got %d topics, cluster %q", len(resp.Topics), *resp.ClusterID)
	}
	if resp.ControllerID == 2 || resp.ControllerID == -1 {
		t.Errorf("controller %d is not a live broker", resp.ControllerID)
	}
}

func TestMetadata_WhichTopics(t *testing.T) {
	byID := func(ids ...byte) *kmsg.MetadataRequest {
		req := metadataRequest()
		for _, id := range ids {
			topic := kmsg.NewMetadataRequestTopic()
			topic.TopicID = protocol.TopicID{id}
			req.Topics = append(req.Topics, topic)
		}
		return req
	}
	all := kmsg.NewPtrMetadataRequest()
	for _, tc := range []struct {
		name    string
		req     *kmsg.MetadataRequest
		version int16
		want    string
	}{
		{"null is all", all, 9, "__consumer_offsets:NONE orders:NONE"},
		{"empty is none", metadataRequest(), 9, ""},
		{"empty is all in v0", metadataRequest(), 0, "__consumer_offsets:NONE orders:NONE"},
		{"each once", metadataRequest("orders", "orders"), 9, "orders:NONE"},
		{"by id", byID(1, 9), 12, "-:UNKNOWN_TOPIC_ID orders:NONE"},
		{"ids before v12", byID(1), 11, "-:INVALID_REQUEST"},
		{"missing", metadataRequest("nope"), 9, "nope:UNKNOWN_TOPIC_OR_PARTITION"},
		{"bad name", metadataRequest("no pe"), 9, "no pe:INVALID_TOPIC_EXCEPTION"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newControl(t)
			tc.req.AllowAutoTopicCreation = false
			resp := c.call(t, tc.req, tc.version).(*kmsg.MetadataResponse)
			var got []string
			for _, topic := range resp.Topics {
				name := "-"
				if topic.Topic != nil && *topic.Topic != "" {
					name = *topic.Topic
				}
				got = append(got, name+":"+kerrName(topic.ErrorCode))
			}
			if g := strings.Join(got, " "); g != tc.want {
				t.Errorf("got %q, want %q", g, tc.want)
			}
		})
	}
}

func TestMetadata_AutoCreates(t *testing.T) {
	create := func(c *control) func(*kmsg.CreateTopicsRequest) {
		return func(req *kmsg.CreateTopicsRequest) {
			next := *c.img
			next.Topics = image.Table[string, *image.Topic]{}
			for _, topic := range req.Topics {
				next.Topics = next.Topics.With(topic.Topic, &image.Topic{Name: topic.Topic, ID: protocol.TopicID{7}, Partitions: []image.Partition{
					{Replicas: []protocol.NodeID{1}, ISR: []protocol.NodeID{1}, Leader: 1},
				}})
			}
			c.img = &next
		}
	}
	for _, tc := range []struct {
		name    string
		set     string
		allow   bool
		version int16
		topic   string
		want    string
		asked   int
	}{
		{"allowed", "auto.create.topics.enable=true", true, 9, "new", "NONE", 1},
		{"not asked for", "auto.create.topics.enable=true", false, 9, "new", "UNKNOWN_TOPIC_OR_PARTITION", 0},
		{"before v4 always", "auto.create.topics.enable=true", false, 3, "new", "NONE", 1},
		{"switched off", "auto.create.topics.enable=false", true, 9, "new", "UNKNOWN_TOPIC_OR_PARTITION", 0},
		{"bad name", "auto.create.topics.enable=true", true, 9, "a/b", "INVALID_TOPIC_EXCEPTION", 0},
		{"exists", "auto.create.topics.enable=true", true, 9, "orders", "NONE", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newControl(t, tc.set)
			c.onCreate = create(c)
			req := metadataRequest(tc.topic)
			req.AllowAutoTopicCreation = tc.allow
			resp := c.call(t, req, tc.version).(*kmsg.MetadataResponse)
			if got := kerrName(resp.Topics[0].ErrorCode); got != tc.want || len(c.asked) != tc.asked {
				t.Errorf("got %s after %d requests to the controller, want %s after %d", got, len(c.asked), tc.want, tc.asked)
			}
		})
	}
}

func TestAPIVersions(t *testing.T) {
	request := func(change func(*kmsg.ApiVersionsRequest)) *kmsg.ApiVersionsRequest {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "test", "1.0"
		if change != nil {
			change(req)
		}
		return req
	}
	for _, tc := range []struct {
		name    string
		version int16
		change  func(*kmsg.ApiVersionsRequest)
		want    string
	}{
		{"plain", 3, nil, "NONE"},
		{"bad software name", 3, func(q *kmsg.ApiVersionsRequest) { q.ClientSoftwareName = "-x" }, "INVALID_REQUEST"},
		{"no software name below v3", 2, func(q *kmsg.ApiVersionsRequest) { q.ClientSoftwareName = "" }, "NONE"},
		{"our cluster and node", 5, func(q *kmsg.ApiVersionsRequest) { q.ClusterID, q.NodeID = new("cluster"), 1 }, "NONE"},
		{"another cluster", 5, func(q *kmsg.ApiVersionsRequest) { q.ClusterID, q.NodeID = new("other"), 1 }, "REBOOTSTRAP_REQUIRED"},
		{"another node", 5, func(q *kmsg.ApiVersionsRequest) { q.ClusterID, q.NodeID = new("cluster"), 2 }, "REBOOTSTRAP_REQUIRED"},
		{"half of it", 5, func(q *kmsg.ApiVersionsRequest) { q.NodeID = 1 }, "INVALID_REQUEST"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp := newControl(t).call(t, request(tc.change), tc.version).(*kmsg.ApiVersionsResponse)
			if got := kerrName(resp.ErrorCode); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if (tc.want == "NONE") != (len(resp.ApiKeys) > 0) {
				t.Errorf("got %d keys with %s", len(resp.ApiKeys), tc.want)
			}
		})
	}
	t.Run("scopes", func(t *testing.T) {
		c := newControl(t)
		has := func(scope protocol.Scope, key int16) bool {
			resp := c.callOn(t, scope, request(nil), 4).(*kmsg.ApiVersionsResponse)
			return slices.ContainsFunc(resp.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey == key })
		}
		if !has(protocol.ScopeBroker, 0) || has(protocol.ScopeController, 0) || has(protocol.ScopeBroker, 62) || !has(protocol.ScopeController, 62) {
			t.Error("Produce belongs to clients' listeners, BrokerRegistration to the controller's")
		}
	})
	t.Run("features with minimum 0 are hidden below v4", func(t *testing.T) {
		c := newControl(t)
		for version, want := range map[int16]int{3: 1, 4: 2} {
			resp := c.call(t, request(nil), version).(*kmsg.ApiVersionsResponse)
			if got := len(resp.SupportedFeatures); got != want {
				t.Errorf("v%d: got %d features, want %d", version, got, want)
			}
		}
	})
}

func TestDescribeCluster(t *testing.T) {
	c := newControl(t)
	req := kmsg.NewPtrDescribeClusterRequest()
	resp := c.call(t, req, 2).(*kmsg.DescribeClusterResponse)
	if got := len(resp.Brokers); got != 2 || resp.ClusterID != "cluster" {
		t.Errorf("got %d brokers of cluster %q", got, resp.ClusterID)
	}
	req.IncludeFencedBrokers = true
	if got := len(c.call(t, req, 2).(*kmsg.DescribeClusterResponse).Brokers); got != 3 {
		t.Errorf("with fenced ones: got %d brokers, want 3", got)
	}
	req.EndpointType = 2
	if got := kerrName(c.call(t, req, 2).(*kmsg.DescribeClusterResponse).ErrorCode); got != "MISMATCHED_ENDPOINT_TYPE" {
		t.Errorf("controllers on a broker listener: got %s", got)
	}
	onController := c.callOn(t, protocol.ScopeController, req, 2).(*kmsg.DescribeClusterResponse)
	if onController.ErrorCode != 0 || onController.ControllerID != 1 || len(onController.Brokers) != 1 {
		t.Errorf("on the controller listener: got %+v", onController)
	}
	req.EndpointType = 9
	if got := kerrName(c.call(t, req, 2).(*kmsg.DescribeClusterResponse).ErrorCode); got != "UNSUPPORTED_ENDPOINT_TYPE" {
		t.Errorf("unknown endpoint type: got %s", got)
	}
}

func TestDescribeTopicPartitions_Pages(t *testing.T) {
	c := newControl(t)
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 2
	var got []string
	for range 10 {
		resp := c.call(t, req, 0).(*kmsg.DescribeTopicPartitionsResponse)
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil || p.OfflineReplicas == nil {
					t.Errorf("%s-%d: a list is null", *topic.Topic, p.Partition)
				}
				got = append(got, *topic.Topic+"-"+itoa(int(p.Partition)))
			}
		}
		if resp.NextCursor == nil {
			break
		}
		next := kmsg.NewDescribeTopicPartitionsRequestCursor()
		next.Topic, next.Partition = resp.NextCursor.Topic, resp.NextCursor.Partition
		req.Cursor = &next
	}
	if diff := cmp.Diff([]string{"__consumer_offsets-0", "orders-0", "orders-1", "orders-2"}, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func TestDescribeConfigs_PerResource(t *testing.T) {
	for _, tc := range []struct {
		name     string
		kind     kmsg.ConfigResourceType
		resource string
		want     string
		entry    string // key=value/source that must be there
	}{
		{"topic", kmsg.ConfigResourceTypeTopic, "orders", "NONE", "retention.ms=1000/1"},
		{"topic falls back to the cluster", kmsg.ConfigResourceTypeTopic, "__consumer_offsets", "NONE", "retention.ms=5000/3"},
		{"durable by default", kmsg.ConfigResourceTypeTopic, "orders", "NONE", "flush.messages=1/5"},
		{"missing topic", kmsg.ConfigResourceTypeTopic, "nope", "UNKNOWN_TOPIC_OR_PARTITION", ""},
		{"bad topic", kmsg.ConfigResourceTypeTopic, "a b", "INVALID_TOPIC_EXCEPTION", ""},
		{"this broker", kmsg.ConfigResourceTypeBroker, "1", "NONE", "log.cleaner.threads=2/2"},
		{"cluster default", kmsg.ConfigResourceTypeBroker, "", "NONE", "log.retention.ms=5000/3"},
		{"another broker", kmsg.ConfigResourceTypeBroker, "2", "INVALID_REQUEST", ""},
		{"no broker id", kmsg.ConfigResourceTypeBroker, "x", "INVALID_REQUEST", ""},
		{"loggers", kmsg.ConfigResourceTypeBrokerLogger, "1", "NONE", "root=INFO/6"},
		{"group", kmsg.ConfigResourceTypeGroupConfig, "billing", "NONE", "consumer.session.timeout.ms=50000/8"},
		{"nameless group", kmsg.ConfigResourceTypeGroupConfig, "", "INVALID_REQUEST", ""},
		{"unknown type", 77, "x", "INVALID_REQUEST", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := kmsg.NewPtrDescribeConfigsRequest()
			res := kmsg.NewDescribeConfigsRequestResource()
			res.ResourceType, res.ResourceName = tc.kind, tc.resource
			req.Resources = append(req.Resources, res)
			out := newControl(t).call(t, req, 4).(*kmsg.DescribeConfigsResponse).Resources[0]
			if got := kerrName(out.ErrorCode); got != tc.want {
				t.Fatalf("got %s, want %s", got, tc.want)
			}
			silent := tc.want == "NONE" || tc.want == "UNKNOWN_TOPIC_OR_PARTITION"
			if out.ErrorMessage == nil {
				t.Errorf("no error message with %s, want one, be it empty", tc.want)
			} else if (*out.ErrorMessage == "") != silent {
				t.Errorf("error message %q with %s, want it empty: %t", *out.ErrorMessage, tc.want, silent)
			}
			if tc.entry == "" {
				return
			}
			for _, e := range out.Configs {
				if e.Value != nil && e.Name+"="+*e.Value+"/"+itoa(int(e.Source)) == tc.entry {
					return
				}
				if strings.HasPrefix(tc.entry, e.Name+"=") {
					t.Errorf("got %s=%s/%d, want %s", e.Name, *e.Value, e.Source, tc.entry)
				}
			}
			t.Errorf("%s is not among %d entries", tc.entry, len(out.Configs))
		})
	}
}

func TestIncrementalAlterConfigs_ChecksBeforeItForwards(t *testing.T) {
	type change struct {
		kind     kmsg.ConfigResourceType
		resource string
		key      string
		op       kmsg.IncrementalAlterConfigOp
		value    *string
	}
	text := kmsg.StringPtr
	for _, tc := range []struct {
		name      string
		changes   []change
		want      []string
		forwarded int
	}{
		{"topic", []change{{2, "orders", "retention.ms", 0, text("1")}}, []string{"NONE"}, 1},
		{"twice the same resource", []change{{2, "orders", "a", 0, text("1")}, {2, "orders", "b", 0, text("1")}}, []string{"INVALID_REQUEST", "INVALID_REQUEST"}, 0},
		{"null value", []change{{2, "orders", "retention.ms", 0, nil}}, []string{"INVALID_REQUEST"}, 0},
		{"null value of a delete", []change{{2, "orders", "retention.ms", 1, nil}}, []string{"NONE"}, 1},
		{"another broker", []change{{4, "2", "log.cleaner.threads", 0, text("1")}}, []string{"INVALID_REQUEST"}, 0},
		{"a read-only broker key", []change{{4, "1", "log.dirs", 0, text("/x")}}, []string{"INVALID_REQUEST"}, 0},
		{"a logger", []change{{8, "1", "root", 0, text("DEBUG")}}, []string{"NONE"}, 0},
		{"an unknown logger", []change{{8, "1", "x.y", 0, text("DEBUG")}}, []string{"INVALID_CONFIG"}, 0},
		{"an unknown level", []change{{8, "1", "root", 0, text("LOUD")}}, []string{"INVALID_CONFIG"}, 0},
		{"append to a logger", []change{{8, "1", "root", 2, text("DEBUG")}}, []string{"INVALID_REQUEST"}, 0},
		{"an unknown type", []change{{5, "1", "x", 0, text("1")}}, []string{"INVALID_REQUEST"}, 0},
		{"one bad of two", []change{{2, "orders", "retention.ms", 0, text("1")}, {4, "9", "x", 0, text("1")}}, []string{"NONE", "INVALID_REQUEST"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newControl(t)
			c.answer = func(req kmsg.Request) (kmsg.Response, error) {
				q := req.(*kmsg.IncrementalAlterConfigsRequest)
				resp := q.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
				for _, r := range q.Resources {
					resp.Resources = append(resp.Resources, kmsg.IncrementalAlterConfigsResponseResource{ResourceType: r.ResourceType, ResourceName: r.ResourceName})
				}
				return resp, nil
			}
			req := kmsg.NewPtrIncrementalAlterConfigsRequest()
			for _, ch := range tc.changes {
				res := kmsg.NewIncrementalAlterConfigsRequestResource()
				res.ResourceType, res.ResourceName = ch.kind, ch.resource
				res.Configs = append(res.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: ch.key, Op: ch.op, Value: ch.value})
				req.Resources = append(req.Resources, res)
			}
			resp := c.call(t, req, 1).(*kmsg.IncrementalAlterConfigsResponse)
			var got []string
			for _, r := range resp.Resources {
				got = append(got, kerrName(r.ErrorCode))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("codes (-want +got):\n%s", diff)
			}
			forwarded := 0
			for _, req := range c.asked {
				forwarded += len(req.(*kmsg.IncrementalAlterConfigsRequest).Resources)
			}
			if forwarded != tc.forwarded {
				t.Errorf("%d resources reached the controller, want %d", forwarded, tc.forwarded)
			}
		})
	}
}

func TestForward_WithoutControllerEveryItemCarriesTheError(t *testing.T) {
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "a"}, {Topic: "b"}}
	c := newControl(t)
	c.answer = func(kmsg.Request) (kmsg.Response, error) { return nil, kerr.NotController }
	resp := c.call(t, create, 7).(*kmsg.CreateTopicsResponse)
	if len(resp.Topics) != 2 || resp.Topics[1].Topic != "b" || kerrName(resp.Topics[1].ErrorCode) != "NOT_CONTROLLER" {
		t.Errorf("got %+v", resp.Topics)
	}
	c.answer = func(kmsg.Request) (kmsg.Response, error) { return nil, context.DeadlineExceeded }
	if got := kerrName(c.call(t, kmsg.NewPtrDescribeQuorumRequest(), 1).(*kmsg.DescribeQuorumResponse).ErrorCode); got != "REQUEST_TIMED_OUT" {
		t.Errorf("got %s", got)
	}
}

func TestListConfigResources(t *testing.T) {
	c := newControl(t)
	list := func(version int16, types ...int8) string {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.ResourceTypes = types
		resp := c.call(t, req, version).(*kmsg.ListConfigResourcesResponse)
		if resp.ErrorCode != 0 {
			return kerrName(resp.ErrorCode)
		}
		var out []string
		for _, r := range resp.ConfigResources {
			out = append(out, itoa(int(r.Type))+":"+r.Name)
		}
		return strings.Join(out, " ")
	}
	for _, tc := range []struct {
		got, want string
	}{
		{list(0), ""},
		{list(1, 2), "2:__consumer_offsets 2:orders"},
		{list(1), "32:billing 8:1 8:2 8:3 4:1 4:2 4:3 2:__consumer_offsets 2:orders"},
		{list(1, 99), "UNSUPPORTED_VERSION"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}

func kerrName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	if e, ok := errors.AsType[*kerr.Error](kerr.ErrorForCode(code)); ok {
		return e.Message
	}
	return "?"
}

func ints(ids []int32) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = itoa(int(id))
	}
	return strings.Join(out, ",")
}

// A broker has checked whose configuration it is before it asks the active controller, which may be another node.
func TestAlterConfigs_AtTheControllerAreNotHeldAgainstItsOwnID(t *testing.T) {
	alter := func() kmsg.Request {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, "2"
		req.Resources = append(req.Resources, r)
		return req
	}
	c := newControl(t)
	if c.callOn(t, protocol.ScopeController, alter(), 1); len(c.asked) != 1 {
		t.Errorf("the controller was asked %d times for node 2's configuration, want once", len(c.asked))
	}
	resp := c.callOn(t, protocol.ScopeBroker, alter(), 1).(*kmsg.IncrementalAlterConfigsResponse)
	if got := resp.Resources[0].ErrorCode; len(c.asked) != 1 || got != kerr.InvalidRequest.Code {
		t.Errorf("broker 1 answers %d for node 2's configuration, want %d", got, kerr.InvalidRequest.Code)
	}
}
