// Command record asks a running Apache Kafka what it answers to DescribeConfigs and to every kind of good and bad value
// in IncrementalAlterConfigs (validate only), and writes the answers as JSON. The package's tests hold our table against
// that file.
//
//	go run ./broker/config/testdata/record 127.0.0.1:24510 1 > broker/config/testdata/kafka-4.4.0.json
//
// The node is expected to have been started with log.retention.hours=24 and log.roll.ms=3600000 beside its addresses.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type synonym struct {
	Name   string
	Value  *string
	Source int8
}

type entry struct {
	Name      string
	Value     *string
	Source    int8
	ReadOnly  bool `json:",omitempty"`
	Sensitive bool `json:",omitempty"`
	Type      int8
	Synonyms  []synonym `json:",omitempty"`
}

type describe struct {
	Label   string
	Type    int8
	Name    string
	Keys    []string
	Code    int16   `json:",omitempty"`
	Message *string `json:",omitempty"`
	Entries []entry
}

type alter struct {
	Type    int8
	Name    string
	Key     string
	Op      int8
	Value   *string
	Code    int16
	Message *string
}

type recording struct {
	Describe []describe
	Alter    []alter
}

type recorder struct {
	client *kgo.Client
	out    recording
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(bootstrap, broker string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	r := &recorder{client: client}

	create := kmsg.NewPtrCreateTopicsRequest()
	create.TimeoutMillis = 10000
	for _, t := range []struct {
		name    string
		configs map[string]string
	}{
		{"plain", nil},
		{"overridden", map[string]string{
			"retention.ms": "1000", "cleanup.policy": "compact, delete", "max.message.bytes": "2048", "flush.messages": "7",
			"segment.ms": "60000", "compression.type": "zstd", "internal.segment.bytes": "1048576", "min.insync.replicas": "1",
		}},
	} {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = t.name, 1, 1
		for k, v := range t.configs {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = k, kmsg.StringPtr(v)
			rt.Configs = append(rt.Configs, c)
		}
		create.Topics = append(create.Topics, rt)
	}
	if _, err := create.RequestWith(ctx, client); err != nil {
		return err
	}
	time.Sleep(time.Second) // the metadata must reach the broker

	r.describeAll(ctx, "static", broker)
	if err := r.set(ctx, 4, "", map[string]string{
		"log.retention.ms": "7200000", "message.max.bytes": "1000000", "log.cleaner.threads": "2", "log.flush.interval.messages": "10000", "max.connections": "500", "custom.key": "x",
	}); err != nil {
		return err
	}
	if err := r.set(ctx, 4, broker, map[string]string{
		"log.segment.bytes": "2097152", "message.max.bytes": "900000", "log.roll.jitter.ms": "5", "listener.name.plaintext.max.connections": "77",
		"listener.name.plaintext.ssl.keystore.password": "secret", "log.cleanup.policy": "compact,delete",
	}); err != nil {
		return err
	}
	time.Sleep(time.Second)
	r.describeAll(ctx, "dynamic", broker)
	for _, name := range []string{"", broker} {
		if err := r.clear(ctx, 4, name); err != nil {
			return err
		}
	}
	time.Sleep(time.Second)
	r.alterAll(ctx, broker)

	e := json.NewEncoder(os.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(r.out)
}

func (r *recorder) describeAll(ctx context.Context, label, broker string) {
	r.describe(ctx, label, 4, broker, nil)
	r.describe(ctx, label, 4, "", nil)
	r.describe(ctx, label, 2, "plain", nil)
	r.describe(ctx, label, 2, "overridden", nil)
	r.describe(ctx, label, 2, "plain", []string{"retention.ms", "nonsense", "internal.segment.bytes"})
	r.describe(ctx, label, 2, "overridden", []string{"retention.ms", "internal.segment.bytes"})
	r.describe(ctx, label, 2, "absent", nil)
	r.describe(ctx, label, 2, "bad name!", nil)
	r.describe(ctx, label, 4, broker, []string{"log.retention.ms", "log.retention.hours", "log.roll.hours", "nonsense", "node.id", "broker.id", "producer.id.expiration.check.interval.ms"})
	r.describe(ctx, label, 4, "99", nil)
	r.describe(ctx, label, 4, "abc", nil)
	r.describe(ctx, label, 16, "sub", nil)
	r.describe(ctx, label, 16, "", nil)
	r.describe(ctx, label, 32, "grp", nil)
	r.describe(ctx, label, 32, "", nil)
	r.describe(ctx, label, 77, "x", nil)
}

func (r *recorder) describe(ctx context.Context, label string, kind int8, name string, keys []string) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName, rr.ConfigNames = kmsg.ConfigResourceType(kind), name, keys
	req.Resources = append(req.Resources, rr)
	req.IncludeSynonyms = true
	d := describe{Label: label, Type: kind, Name: name, Keys: keys}
	resp, err := r.client.Broker(1).RetriableRequest(ctx, req)
	if err != nil {
		d.Message = kmsg.StringPtr(err.Error())
		d.Code = -2
		r.out.Describe = append(r.out.Describe, d)
		return
	}
	got := resp.(*kmsg.DescribeConfigsResponse).Resources[0]
	d.Code, d.Message = got.ErrorCode, got.ErrorMessage
	for _, c := range got.Configs {
		e := entry{Name: c.Name, Value: c.Value, Source: int8(c.Source), ReadOnly: c.ReadOnly, Sensitive: c.IsSensitive, Type: int8(c.ConfigType)}
		for _, s := range c.ConfigSynonyms {
			e.Synonyms = append(e.Synonyms, synonym{Name: s.Name, Value: s.Value, Source: int8(s.Source)})
		}
		d.Entries = append(d.Entries, e)
	}
	slices.SortFunc(d.Entries, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
	r.out.Describe = append(r.out.Describe, d)
}

func (r *recorder) set(ctx context.Context, kind int8, name string, kv map[string]string) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceType(kind), name
	for k, v := range kv {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = k, kmsg.StringPtr(v)
		rr.Configs = append(rr.Configs, c)
	}
	req.Resources = append(req.Resources, rr)
	resp, err := r.client.Broker(1).RetriableRequest(ctx, req)
	if err != nil {
		return err
	}
	if x := resp.(*kmsg.IncrementalAlterConfigsResponse).Resources[0]; x.ErrorCode != 0 {
		return fmt.Errorf("set %s: %d %v", name, x.ErrorCode, *x.ErrorMessage)
	}
	return nil
}

func (r *recorder) clear(ctx context.Context, kind int8, name string) error {
	req := kmsg.NewPtrAlterConfigsRequest()
	rr := kmsg.NewAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceType(kind), name
	req.Resources = append(req.Resources, rr)
	_, err := r.client.Broker(1).RetriableRequest(ctx, req)
	return err
}

// alterAll tries the same set of values on every key.
func (r *recorder) alterAll(ctx context.Context, broker string) {
	values := []string{
		"", " ", "abc", "-1", "-2", "-3", "0", "1", "5", " 5 ", "+5", "1.5", "9", "22", "2000", "1048575", "1048576", "2147483639", "2147483640", "2147483647", "2147483648",
		"9223372036854775807", "9223372036854775808", "true", "TRUE", "yes", "delete", "compact", "compact,delete", "compact,,delete", "delete,delete", "none", "gzip", "producer",
		"CreateTime", "createtime", "LogAppendTime", "*", "0:1,1:2", "0:", "NaN", "1e3", "0x10", "java.lang.String",
	}
	seen := map[string]bool{}
	for _, d := range r.out.Describe {
		if d.Label != "static" || d.Code != 0 || len(d.Keys) > 0 || (d.Type == 2 && d.Name != "plain") {
			continue
		}
		for _, e := range d.Entries {
			id := fmt.Sprint(d.Type, e.Name)
			if seen[id] {
				continue
			}
			seen[id] = true
			vs := values
			if d.Type == 4 && e.ReadOnly {
				vs = []string{"1"}
			}
			for _, v := range vs {
				names := []string{d.Name}
				if d.Type == 4 {
					names = []string{broker, ""}
				}
				for _, n := range names {
					r.alter(ctx, d.Type, n, e.Name, 0, v)
				}
			}
		}
	}
	for _, c := range []struct {
		kind       int8
		name, k, v string
		op         int8
	}{
		{2, "plain", "nonsense", "1", 0}, {2, "plain", "nonsense", "1", 2}, {2, "plain", "retention.ms", "1", 2}, {2, "plain", "retention.ms", "1", 3},
		{2, "plain", "cleanup.policy", "compact", 2}, {2, "plain", "cleanup.policy", "delete", 3}, {2, "plain", "cleanup.policy", "x", 2}, {2, "absent", "retention.ms", "1", 0},
		{4, broker, "nonsense", "1", 0}, {4, "", "nonsense", "1", 0}, {4, broker, "listener.name.plaintext.max.connections", "abc", 0}, {4, "", "listener.name.plaintext.max.connections", "5", 0},
		{4, "", "listener.name.plaintext.ssl.keystore.location", "/x", 0}, {4, broker, "log.cleanup.policy", "compact", 2}, {4, broker, "num.io.threads", "5", 2}, {4, broker, "nonsense", "5", 2},
		{4, "abc", "num.io.threads", "5", 0}, {4, "77", "num.io.threads", "5", 0}, {4, "-1", "num.io.threads", "5", 0}, {77, "x", "y", "z", 0}, {2, "plain", "retention.ms", "1", 9}, {2, "plain", "retention.ms", strings.Repeat("1", 40000), 0},
		{2, "plain", "min.compaction.lag.ms", "100", 0}, {2, "", "retention.ms", "1", 0}, {2, "bad name!", "retention.ms", "1", 0}, {32, "", "consumer.session.timeout.ms", "1", 0},
	} {
		r.alter(ctx, c.kind, c.name, c.k, c.op, c.v)
	}
}

func (r *recorder) alter(ctx context.Context, kind int8, name, key string, op int8, value string) {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = true
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceType(kind), name
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Value, c.Op = key, kmsg.StringPtr(value), kmsg.IncrementalAlterConfigOp(op)
	rr.Configs = append(rr.Configs, c)
	req.Resources = append(req.Resources, rr)
	if len(value) > 100 {
		value = fmt.Sprintf("%d bytes", len(value))
	}
	a := alter{Type: kind, Name: name, Key: key, Op: op, Value: &value}
	resp, err := r.client.Broker(1).RetriableRequest(ctx, req)
	if err != nil {
		a.Code, a.Message = -2, kmsg.StringPtr(err.Error())
	} else {
		x := resp.(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
		a.Code, a.Message = x.ErrorCode, x.ErrorMessage
	}
	r.out.Alter = append(r.out.Alter, a)
}
