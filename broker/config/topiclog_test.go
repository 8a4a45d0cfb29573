package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/kraft/controller"
	"github.com/distributedmq/dmq/kraft/image"
	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func TestTopicLog(t *testing.T) {
	c, _ := load(t, config.Sources{Set: []string{"log.retention.minutes=10", "log.roll.hours=2", "log.segment.bytes=2097152"}})
	tests := []struct {
		name      string
		overrides map[string]string
		dynamic   config.Dynamic
		want      func(*commitlog.Config)
	}{
		{name: "the broker's defaults", want: func(*commitlog.Config) {}},
		{
			name:      "overrides",
			overrides: map[string]string{"segment.bytes": "1048576", "retention.ms": "-1", "cleanup.policy": "compact,delete", "compression.type": "gzip", "compression.gzip.level": "4", "flush.messages": "100", "message.timestamp.type": "LogAppendTime"},
			want: func(l *commitlog.Config) {
				l.SegmentBytes, l.RetentionMs, l.CleanupCompact, l.FlushMessages, l.LogAppendTime = 1<<20, -1, true, 100, true
				l.CompressionProducer, l.Compression, l.CompressionLevel = false, compress.Gzip, 4
			},
		},
		{name: "an empty policy keeps everything", overrides: map[string]string{"cleanup.policy": ""}, want: func(l *commitlog.Config) { l.CleanupDelete = false }},
		{name: "gzip's own level", overrides: map[string]string{"compression.type": "gzip"}, want: func(l *commitlog.Config) {
			l.CompressionProducer, l.Compression = false, compress.Gzip
		}},
		{name: "uncompressed", overrides: map[string]string{"compression.type": "uncompressed"}, want: func(l *commitlog.Config) { l.CompressionProducer = false }},
		{name: "zstd", overrides: map[string]string{"compression.type": "zstd"}, want: func(l *commitlog.Config) {
			l.CompressionProducer, l.Compression, l.CompressionLevel = false, compress.Zstd, 3
		}},
		{name: "small segments for tests", overrides: map[string]string{"internal.segment.bytes": "512"}, want: func(l *commitlog.Config) { l.SegmentBytes = 512 }},
		{
			name:      "dynamic configuration of the broker, under the topic's",
			overrides: map[string]string{"retention.bytes": "5"},
			dynamic: config.Dynamic{
				Cluster: map[string]string{"log.retention.ms": "1000", "log.retention.bytes": "9", "message.max.bytes": "77", "log.roll.ms": "3"},
				Broker:  map[string]string{"message.max.bytes": "78", "log.segment.bytes": "10", "producer.id.expiration.ms": "5"}, // 10 is refused
			},
			want: func(l *commitlog.Config) {
				l.RetentionMs, l.RetentionBytes, l.MaxMessageBytes, l.SegmentMs, l.ProducerIDExpirationMs = 1000, 5, 78, 3, 5
			},
		},
		{name: "an override that does not pass counts as unset", overrides: map[string]string{"segment.bytes": "10", "retention.ms": "soon"}, want: func(*commitlog.Config) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := commitlog.DefaultConfig()
			want.SegmentBytes, want.RetentionMs, want.SegmentMs = 2<<20, 10*60*1000, 2*3600*1000
			tt.want(&want)
			if diff := cmp.Diff(want, c.TopicLog(tt.overrides, tt.dynamic)); diff != "" {
				t.Error(diff)
			}
		})
	}
	const key = "min.insync.replicas"
	for _, tt := range []struct {
		overrides map[string]string
		dynamic   config.Dynamic
		want      int32
	}{
		{nil, config.Dynamic{}, 1},
		{map[string]string{key: " 2 "}, config.Dynamic{Broker: map[string]string{key: "3"}}, 2},
		{nil, config.Dynamic{Broker: map[string]string{key: "3"}, Cluster: map[string]string{key: "4"}}, 3},
		{map[string]string{key: "none"}, config.Dynamic{Broker: map[string]string{key: "0"}, Cluster: map[string]string{key: "4"}}, 4},
	} {
		if got := c.TopicMinISR(tt.overrides, tt.dynamic); got != tt.want {
			t.Errorf("%v %v: min.insync.replicas %d, want %d", tt.overrides, tt.dynamic, got, tt.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { c.TopicMinISR(map[string]string(nil), config.Dynamic{}) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestControllerSchema(t *testing.T) {
	c, _ := load(t, config.Sources{})
	s := c.ControllerSchema()
	topic := func(name string) image.Resource { return image.Resource{Type: image.ResourceTopic, Name: name} }
	tests := []struct {
		name     string
		resource image.Resource
		configs  map[string]string
		kind     errcode.Kind
		text     string
	}{
		{"good topic", topic("t"), map[string]string{"retention.ms": "5"}, errcode.KindNone, ""},
		{"no topic", topic(""), nil, errcode.KindInvalidRequest, "Default topic resources are not allowed."},
		{"unknown key", topic("t"), map[string]string{"x": "5"}, errcode.KindInvalidConfig, "Unknown topic config name: x"},
		{"across keys", topic("t"), map[string]string{"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"}, errcode.KindInvalidConfig, "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"},
		{"tiered", topic("t"), map[string]string{"remote.storage.enable": "true"}, errcode.KindInvalidConfig, "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."},
		{"broker", image.Resource{Type: image.ResourceBroker, Name: "1"}, map[string]string{"x": "y"}, errcode.KindNone, ""},
		{"all brokers", image.Resource{Type: image.ResourceBroker}, nil, errcode.KindNone, ""},
		{"broker's name", image.Resource{Type: image.ResourceBroker, Name: "x"}, nil, errcode.KindInvalidRequest, "Unable to parse broker name as a base 10 number."},
		{"negative broker", image.Resource{Type: image.ResourceBroker, Name: "-1"}, nil, errcode.KindInvalidRequest, "Invalid negative broker ID."},
		{"group", image.Resource{Type: image.ResourceGroup, Name: "g"}, map[string]string{"consumer.session.timeout.ms": "1"}, errcode.KindInvalidConfig, "consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive."},
		{"no group", image.Resource{Type: image.ResourceGroup}, nil, errcode.KindInvalidRequest, "Default group resources are not allowed."},
		{"client metrics", image.Resource{Type: image.ResourceClientMetrics, Name: "m"}, map[string]string{"match": "x=y"}, errcode.KindInvalidConfig, "Illegal client matching pattern: x=y"},
		{"other", image.Resource{Type: 99, Name: "m"}, nil, errcode.KindInvalidRequest, "Unknown resource type 99"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := s.Validate(tt.resource, tt.configs, nil)
			if got := errcode.KindOf(err); got != tt.kind || err != nil && err.Error() != tt.text {
				t.Errorf("got %v %v, want %v %s", got, err, tt.kind, tt.text)
			}
		})
	}
	if !s.IsList(topic("t"), "cleanup.policy") || s.IsList(topic("t"), "retention.ms") || s.IsList(topic("t"), "x") {
		t.Error("lists are not told from others")
	}
	if v, ok := s.Default(topic("t"), "cleanup.policy", nil); !ok || v != "delete" {
		t.Errorf("default %q %v", v, ok)
	}
	all := s.TopicConfigs(map[string]string{"retention.ms": "5"}, map[string]string{"message.max.bytes": "7"})
	sources := map[string]string{}
	for _, e := range all {
		sources[e.Name] = *e.Value + " " + kmsg.ConfigSource(e.Source).String()
	}
	for name, want := range map[string]string{"retention.ms": "5 DYNAMIC_TOPIC_CONFIG", "max.message.bytes": "7 DYNAMIC_DEFAULT_BROKER_CONFIG", "flush.messages": "1 DEFAULT_CONFIG"} {
		if sources[name] != want {
			t.Errorf("%s: got %q, want %q", name, sources[name], want)
		}
	}
}

func TestDescribe_Documentation(t *testing.T) {
	c, _ := load(t, config.Sources{})
	for _, docs := range []bool{false, true} {
		for _, e := range c.DescribeBroker(config.Dynamic{}, config.DescribeOptions{Docs: docs}) {
			if (e.Documentation != nil) != docs {
				t.Fatalf("%s: documentation %v, asked for %v", e.Name, e.Documentation, docs)
			}
			if len(e.ConfigSynonyms) > 0 {
				t.Fatalf("%s has synonyms that nobody asked for", e.Name)
			}
		}
	}
}

func TestDescribe_UnknownOverrideHasNoValue(t *testing.T) {
	c, _ := load(t, config.Sources{})
	got := c.DescribeTopic(map[string]string{"from.another.version": "secret?"}, config.Dynamic{}, config.DescribeOptions{Names: []string{"from.another.version"}})
	if len(got) != 1 || got[0].Value != nil || !got[0].IsSensitive || got[0].Source != kmsg.ConfigSourceDynamicTopicConfig {
		t.Errorf("%+v", got)
	}
}

func TestMarkdown_ListsWhatHasNoEffect(t *testing.T) {
	s := config.NewSchema()
	topics, brokers := s.IneffectiveMarkdown(config.ScopeTopic), s.IneffectiveMarkdown(config.ScopeBroker)
	for row, listed := range map[string]bool{"| `preallocate` | `false` |": true, "| `retention.ms` ": false, "| `num.io.threads` ": true, "| `internal.": false, "| `log.dirs` ": false} {
		if strings.Contains(topics+brokers, row) != listed {
			t.Errorf("%s listed: %v", row, !listed)
		}
	}
	if !strings.Contains(s.Markdown(config.ScopeTopic), "| `retention.ms` | long | `604800000` | [-1,...] | cluster-wide | yes |") {
		t.Error(s.Markdown(config.ScopeTopic))
	}
	if got := s.Ineffective(config.ScopeTopic, []string{"retention.ms", "preallocate", "nobody.knows"}); len(got) != 1 || got[0] != "preallocate" {
		t.Error(got)
	}
}

func TestTopicPolicy(t *testing.T) {
	type m = map[string]string
	plain, _ := load(t, config.Sources{})
	risky, _ := load(t, config.Sources{Set: []string{"unclean.leader.election.enable=true", "log.flush.interval.messages=5", "min.insync.replicas=3"}})
	tests := []struct {
		name                   string
		config                 *config.Config
		topic, broker, cluster m
		want                   controller.TopicPolicy
	}{
		{"defaults", plain, nil, nil, nil, controller.TopicPolicy{MinISR: 1, Durable: true}},
		{"static", risky, nil, nil, nil, controller.TopicPolicy{MinISR: 3, UncleanElection: true}},
		{
			"the cluster's", plain, nil, nil,
			m{"min.insync.replicas": "2", "unclean.leader.election.enable": "true", "log.flush.interval.messages": "7"},
			controller.TopicPolicy{MinISR: 2, UncleanElection: true},
		},
		{
			"the broker's over the cluster's", plain, nil,
			m{"unclean.leader.election.enable": "false", "log.flush.interval.messages": "1"},
			m{"unclean.leader.election.enable": "true", "log.flush.interval.messages": "7"},
			controller.TopicPolicy{MinISR: 1, Durable: true},
		},
		{
			"the topic's over all", risky,
			m{"min.insync.replicas": "2", "unclean.leader.election.enable": " FALSE ", "flush.messages": "1"},
			m{"unclean.leader.election.enable": "true"},
			m{"log.flush.interval.messages": "7"},
			controller.TopicPolicy{MinISR: 2, Durable: true},
		},
	}
	for _, tt := range tests {
		if got := tt.config.ControllerSchema().TopicPolicy(tt.topic, tt.broker, tt.cluster); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
