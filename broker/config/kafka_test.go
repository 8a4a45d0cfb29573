package config_test

import (
	"compress/gzip"
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// The recording is what Apache Kafka 4.4.0 answered; testdata/record makes it.
type (
	recordedSynonym struct {
		Name   string
		Value  *string
		Source int8
	}
	recordedEntry struct {
		Name      string
		Value     *string
		Source    int8
		ReadOnly  bool
		Sensitive bool
		Type      int8
		Synonyms  []recordedSynonym
	}
	recordedDescribe struct {
		Label   string
		Type    int8
		Name    string
		Keys    []string
		Code    int16
		Entries []recordedEntry
	}
	recordedAlter struct {
		Type    int8
		Name    string
		Key     string
		Op      int8
		Value   string
		Code    int16
		Message string
	}
	recording struct {
		Describe []recordedDescribe
		Alter    []recordedAlter
	}
)

func kafkaRecording(t *testing.T) recording {
	t.Helper()
	f, err := os.Open("testdata/kafka-4.4.0.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := json.NewDecoder(z).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// recordedConfig is the configuration the recorded node ran with.
func recordedConfig(t *testing.T) *config.Config {
	t.Helper()
	c, _, err := config.Load(config.Sources{Set: []string{
		"process.roles=broker,controller", "node.id=1", "controller.quorum.voters=1@127.0.0.1:24511",
		"listeners=PLAINTEXT://127.0.0.1:24510,CONTROLLER://127.0.0.1:24511", "advertised.listeners=PLAINTEXT://127.0.0.1:24510",
		"controller.listener.names=CONTROLLER", "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs=/tmp/dmqcfg/k/data/1", "offsets.topic.replication.factor=1", "transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1", "share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1",
		"default.replication.factor=1", "min.insync.replicas=1", "log.retention.hours=24", "log.roll.ms=3600000",
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// recordedDynamic is what the recorder set before it described everything a second time. min.insync.replicas is what
// Kafka itself sets as the cluster-wide default when eligible leader replicas are on.
func recordedDynamic(label string) config.Dynamic {
	d := config.Dynamic{Cluster: map[string]string{"min.insync.replicas": "1"}}
	if label == "dynamic" {
		d.Cluster = map[string]string{
			"min.insync.replicas": "1", "log.retention.ms": "7200000", "message.max.bytes": "1000000", "log.cleaner.threads": "2",
			"log.flush.interval.messages": "10000", "max.connections": "500", "custom.key": "x",
		}
		d.Broker = map[string]string{
			"log.segment.bytes": "2097152", "message.max.bytes": "900000", "log.roll.jitter.ms": "5", "listener.name.plaintext.max.connections": "77",
			"listener.name.plaintext.ssl.keystore.password": "secret", "log.cleanup.policy": "compact,delete",
		}
	}
	return d
}

func overriddenTopic() map[string]string {
	return map[string]string{
		"retention.ms": "1000", "cleanup.policy": "compact, delete", "max.message.bytes": "2048", "flush.messages": "7",
		"segment.ms": "60000", "compression.type": "zstd", "internal.segment.bytes": "1048576", "min.insync.replicas": "1",
	}
}

func TestDescribe_AnswersAsKafka(t *testing.T) {
	c := recordedConfig(t)
	for _, want := range kafkaRecording(t).Describe {
		if want.Code != 0 {
			continue // wrong names are the handler's
		}
		d, o := recordedDynamic(want.Label), config.DescribeOptions{Names: want.Keys, Synonyms: true}
		var got []kmsg.DescribeConfigsResponseResourceConfig
		switch {
		case want.Type == 2 && want.Name == "plain":
			got = c.DescribeTopic(nil, d, o)
		case want.Type == 2:
			got = c.DescribeTopic(overriddenTopic(), d, o)
		case want.Type == 4 && want.Name == "":
			got = c.DescribeClusterDefault(d, o)
		case want.Type == 4:
			got = c.DescribeBroker(d, o)
		case want.Type == 16:
			got = c.DescribeClientMetrics(nil, o)
		case want.Type == 32:
			got = c.DescribeGroup(nil, d, o)
		}
		wantEntries := make(map[string]recordedEntry)
		for _, e := range want.Entries {
			wantEntries[e.Name] = ourDefaults(e)
		}
		gotEntries := make(map[string]recordedEntry)
		for _, e := range got {
			if !strings.HasPrefix(e.Name, "dmq.") {
				gotEntries[e.Name] = recorded(e)
			}
		}
		if diff := cmp.Diff(wantEntries, gotEntries); diff != "" {
			t.Errorf("%s %d %q %v: Kafka (-) and we (+) differ:\n%s", want.Label, want.Type, want.Name, want.Keys, diff)
		}
	}
}

// ourDefaults applies our known differences to one of Kafka's answers.
func ourDefaults(e recordedEntry) recordedEntry {
	text := func(s string) *string { return &s }
	replace := func(value string) {
		if e.Source == int8(kmsg.ConfigSourceDefaultConfig) {
			e.Value = text(value)
		}
		if n := len(e.Synonyms); n > 0 && e.Synonyms[n-1].Source == int8(kmsg.ConfigSourceDefaultConfig) {
			e.Synonyms[n-1].Value = text(value)
		}
	}
	addDefault := func(value string) {
		e.Synonyms = append(e.Synonyms, recordedSynonym{e.Name, text(value), int8(kmsg.ConfigSourceDefaultConfig)})
	}
	switch e.Name {
	case "flush.messages", "log.flush.interval.messages": // durable by default
		replace("1")
	case "log.dir":
		replace("./data")
	case "listeners":
		replace("PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093")
		e.ReadOnly = true // listeners cannot change while the node runs
	case "listener.security.protocol.map":
		e.ReadOnly = true
	case "node.id": // Kafka has no default for these
		addDefault("1")
	case "process.roles":
		addDefault("broker,controller")
	case "controller.listener.names":
		addDefault("CONTROLLER")
	case "offsets.topic.replication.factor", "transaction.state.log.replication.factor", "share.coordinator.state.topic.replication.factor",
		"transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr": // as many as there are nodes
		replace("1")
	}
	return e
}

func recorded(e kmsg.DescribeConfigsResponseResourceConfig) recordedEntry {
	out := recordedEntry{Name: e.Name, Value: e.Value, Source: int8(e.Source), ReadOnly: e.ReadOnly, Sensitive: e.IsSensitive, Type: int8(e.ConfigType)}
	for _, s := range e.ConfigSynonyms {
		out.Synonyms = append(out.Synonyms, recordedSynonym{s.Name, s.Value, int8(s.Source)})
	}
	return out
}

func TestValidate_RefusesAsKafka(t *testing.T) {
	c := recordedConfig(t)
	compared := 0
	for _, want := range kafkaRecording(t).Alter {
		if want.Op != 0 || skipAlter(want) {
			continue
		}
		var err error
		configs := map[string]string{want.Key: want.Value}
		current := config.Dynamic{Cluster: recordedDynamic("dynamic").Cluster} // what the recorder left behind
		switch want.Type {
		case 2:
			err = c.ValidateTopic(configs, config.Dynamic{})
		case 4:
			if want.Name == "" {
				maps.Copy(current.Cluster, configs)
				configs = current.Cluster
			}
			err = c.ValidateBroker(configs, want.Name != "", config.Dynamic{Cluster: recordedDynamic("dynamic").Cluster})
		case 16:
			err = c.Schema().ValidateClientMetrics(configs)
		case 32:
			err = c.ValidateGroup(configs, config.Dynamic{})
		}
		compared++
		message := strings.TrimPrefix(want.Message, "Invalid value org.apache.kafka.common.config.ConfigException: ")
		message = strings.TrimSuffix(message, " for configuration Invalid dynamic configuration")
		if got := errcode.Of(err); got != want.Code {
			t.Errorf("%d %q %s=%q: got code %d (%v), Kafka answers %d (%s)", want.Type, want.Name, want.Key, want.Value, got, err, want.Code, message)
		} else if err != nil && err.Error() != message && want.Key != "max.connections.per.ip.overrides" { // Kafka shows a Java index there
			t.Errorf("%d %q %s=%q: got %q, Kafka says %q", want.Type, want.Name, want.Key, want.Value, err, message)
		}
	}
	if compared < 11000 {
		t.Errorf("compared %d answers only", compared)
	}
}

// skipAlter leaves out what the controller or the handler answers, and our known differences.
func skipAlter(a recordedAlter) bool {
	switch {
	case a.Code == -1 || a.Code == -2, a.Type == 77: // refused before the configuration is looked at
		return true
	case a.Name != "plain" && a.Type == 2, a.Type == 32 && a.Name == "", a.Type == 4 && a.Name != "" && a.Name != "1": // bad resource names
		return true
	case a.Type == 4 && a.Key == "min.insync.replicas" && a.Name != "": // needs the feature eligible.leader.replicas.version
		return true
	}
	if a.Key == "log.cleaner.threads" && a.Value == "0" { // Kafka answers "/ by zero"
		return true
	}
	switch a.Key {
	case "listeners", "listener.security.protocol.map": // read-only here
		return true
	case "metric.reporters", "principal.builder.class", "config.providers", "ssl.engine.factory.class": // Java classes are not loaded
		return true
	}
	return false
}
