package diff

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeConfigs(v int16, kind kmsg.ConfigResourceType, name string, keys ...string) *kmsg.DescribeConfigsRequest {
	req := withVersion(kmsg.NewPtrDescribeConfigsRequest(), v)
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, keys
	req.Resources = append(req.Resources, r)
	return req
}

const (
	topicResource  = kmsg.ConfigResourceTypeTopic
	brokerResource = kmsg.ConfigResourceTypeBroker
)

func describeConfigsCases() []Case {
	out := each("DescribeConfigs/topic", 1, 4, func(s *Session, v int16) {
		s.CreateTopic("a", 1, "retention.ms=12345", "cleanup.policy=compact,delete", "compression.type=zstd")
		a := s.Topic("a")
		s.Send("all", describeConfigs(v, topicResource, a))
		full := describeConfigs(v, topicResource, a)
		full.IncludeSynonyms, full.IncludeDocumentation = true, v >= 3
		s.Send("all with synonyms and documentation", full)
		s.Send("named", describeConfigs(v, topicResource, a, "retention.ms", "segment.bytes", "no.such.key"))
		empty := describeConfigs(v, topicResource, a)
		empty.Resources[0].ConfigNames = []string{}
		s.Send("no names", empty)
		s.Send("missing", describeConfigs(v, topicResource, s.Topic("missing")))
		s.Send("invalid name", describeConfigs(v, topicResource, "a/b"))
		s.Send("empty name", describeConfigs(v, topicResource, ""))
		twice := describeConfigs(v, topicResource, a, "retention.ms")
		twice.Resources = append(twice.Resources, twice.Resources[0])
		s.Send("twice", twice)
	})
	out = append(out, each("DescribeConfigs/broker", 1, 4, func(s *Session, v int16) {
		s.Send("named", describeConfigs(v, brokerResource, "1", "log.retention.ms", "log.retention.hours", "num.partitions", "compression.type", "message.max.bytes", "no.such.key"))
		full := describeConfigs(v, brokerResource, "1", "log.retention.ms", "num.partitions", "log.segment.bytes", "log.cleanup.policy")
		full.IncludeSynonyms, full.IncludeDocumentation = true, v >= 3
		s.Send("with synonyms and documentation", full)
		s.Send("another broker", describeConfigs(v, brokerResource, "99"))
		s.Send("not a number", describeConfigs(v, brokerResource, "one"))
		s.Send("cluster default", describeConfigs(v, brokerResource, ""))
		s.Send("logger of another broker", describeConfigs(v, kmsg.ConfigResourceTypeBrokerLogger, "99"))
		s.Send("logger, no number", describeConfigs(v, kmsg.ConfigResourceTypeBrokerLogger, "x"))
		s.Send("logger, no name", describeConfigs(v, kmsg.ConfigResourceTypeBrokerLogger, ""))
		s.Send("unknown type", describeConfigs(v, 77, "x"))
		s.Send("type 0", describeConfigs(v, 0, "x"))
		s.Send("no resources", withVersion(kmsg.NewPtrDescribeConfigsRequest(), v))
	})...)
	out = append(out, serial(each("DescribeConfigs/all of a broker", 4, 4, func(s *Session, v int16) {
		s.Send("all", describeConfigs(v, brokerResource, "1"))
	}))...)
	return append(out, serial(each("ListConfigResources", 0, 1, func(s *Session, v int16) {
		s.Send("all", withVersion(kmsg.NewPtrListConfigResourcesRequest(), v))
		if v == 0 {
			return
		}
		for _, kind := range []int8{2, 4, 8, 16, 32, 0, 77, -1} {
			req := withVersion(kmsg.NewPtrListConfigResourcesRequest(), v)
			req.ResourceTypes = []int8{kind}
			s.CreateTopic(fmt.Sprintf("t%d", kind), 1)
			s.Send(fmt.Sprintf("type %d", kind), req)
		}
	}))...)
}

// shownTopic reads the configs of a topic until they show what is wanted, and records them.
func (s *Session) shownTopic(step, topic, key, value string) {
	req := describeConfigs(4, topicResource, topic, "retention.ms", "cleanup.policy", "segment.bytes", "leader.replication.throttled.replicas", "compression.type", "max.message.bytes")
	s.Eventually(step, req, func(r kmsg.Response) bool {
		for _, c := range r.(*kmsg.DescribeConfigsResponse).Resources[0].Configs {
			if c.Name == key {
				return c.Value != nil && *c.Value == value
			}
		}
		return false
	})
}

func alterConfigs(v int16, validate bool, kind kmsg.ConfigResourceType, name string, kvs ...string) *kmsg.AlterConfigsRequest {
	req := withVersion(kmsg.NewPtrAlterConfigsRequest(), v)
	req.ValidateOnly = validate
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, kv := range kvs {
		k, val, has := strings.Cut(kv, "=")
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		c.Name = k
		if has {
			c.Value = &val
		}
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	return req
}

func alterConfigsCases() []Case {
	return each("AlterConfigs", 0, 2, func(s *Session, v int16) {
		s.CreateTopic("a", 1, "retention.ms=1000")
		a := s.Topic("a")
		s.Send("validate only", alterConfigs(v, true, topicResource, a, "segment.bytes=2000000"))
		s.Send("replaces all", alterConfigs(v, false, topicResource, a, "segment.bytes=2000000"))
		s.shownTopic("shown", a, "segment.bytes", "2000000")
		s.Send("unknown key", alterConfigs(v, false, topicResource, a, "no.such.key=1"))
		s.Send("bad value", alterConfigs(v, false, topicResource, a, "retention.ms=soon"))
		s.Send("out of range", alterConfigs(v, false, topicResource, a, "retention.ms=-7"))
		s.Send("null value", alterConfigs(v, false, topicResource, a, "retention.ms"))
		s.Send("key twice", alterConfigs(v, false, topicResource, a, "retention.ms=1", "retention.ms=2"))
		s.Send("missing topic", alterConfigs(v, false, topicResource, s.Topic("missing"), "retention.ms=1"))
		s.Send("invalid topic", alterConfigs(v, false, topicResource, "a/b", "retention.ms=1"))
		s.Send("unknown type", alterConfigs(v, false, 77, "x", "retention.ms=1"))
		s.Send("another broker", alterConfigs(v, true, brokerResource, "99", "log.retention.ms=1"))
		s.Send("broker that is no number", alterConfigs(v, true, brokerResource, "one", "log.retention.ms=1"))
		s.Send("read-only key of the broker", alterConfigs(v, true, brokerResource, "1", "node.id=7"))
		twice := alterConfigs(v, false, topicResource, a, "retention.ms=1")
		twice.Resources = append(twice.Resources, alterConfigs(v, false, topicResource, a, "retention.ms=2").Resources...)
		s.Send("resource twice", twice)
		s.Send("no resources", withVersion(kmsg.NewPtrAlterConfigsRequest(), v))
		s.Send("nothing left", alterConfigs(v, false, topicResource, a))
		s.shownTopic("shown after it", a, "segment.bytes", "1073741824")
	})
}

// change is one operation of IncrementalAlterConfigs: "set key=value", "delete key", "append key=value", "subtract key=value", or "7 key=value".
func incremental(v int16, validate bool, kind kmsg.ConfigResourceType, name string, changes ...string) *kmsg.IncrementalAlterConfigsRequest {
	ops := map[string]int8{"set": 0, "delete": 1, "append": 2, "subtract": 3, "op7": 7, "op-1": -1}
	req := withVersion(kmsg.NewPtrIncrementalAlterConfigsRequest(), v)
	req.ValidateOnly = validate
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, ch := range changes {
		op, kv, _ := strings.Cut(ch, " ")
		k, val, has := strings.Cut(kv, "=")
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op = k, kmsg.IncrementalAlterConfigOp(ops[op])
		if has {
			c.Value = &val
		}
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	return req
}

func incrementalCases() []Case {
	throttled := "leader.replication.throttled.replicas"
	out := each("IncrementalAlterConfigs/topic", 0, 1, func(s *Session, v int16) {
		s.CreateTopic("a", 1, "retention.ms=1000")
		a := s.Topic("a")
		ask := func(step string, changes ...string) {
			s.Send(step, incremental(v, false, topicResource, a, changes...))
		}
		s.Send("validate only", incremental(v, true, topicResource, a, "set segment.bytes=2000000"))
		s.Send("validate only, bad", incremental(v, true, topicResource, a, "set segment.bytes=x"))
		ask("set", "set segment.bytes=2000000", "set retention.ms=5000")
		s.shownTopic("shown", a, "segment.bytes", "2000000")
		ask("delete", "delete segment.bytes")
		s.shownTopic("shown after delete", a, "segment.bytes", "1073741824")
		ask("delete what is not set", "delete segment.bytes")
		ask("append", "append "+throttled+"=0:1")
		s.shownTopic("shown after append", a, throttled, "0:1")
		ask("append the same", "append "+throttled+"=0:1")
		ask("append two", "append "+throttled+"=1:1,2:1")
		s.shownTopic("shown after two", a, throttled, "0:1,1:1,2:1")
		ask("subtract", "subtract "+throttled+"=1:1")
		s.shownTopic("shown after subtract", a, throttled, "0:1,2:1")
		ask("subtract what is not there", "subtract "+throttled+"=9:9")
		ask("append to no list", "append retention.ms=7")
		ask("subtract from no list", "subtract retention.ms=7")
		ask("append to the policy", "append cleanup.policy=compact")
		s.shownTopic("both policies", a, "cleanup.policy", "delete,compact")
		ask("unknown key", "set no.such.key=1")
		ask("delete an unknown key", "delete no.such.key")
		ask("bad value", "set retention.ms=soon")
		ask("bad list value", "set cleanup.policy=burn")
		ask("null value", "set retention.ms")
		ask("empty value", "set retention.ms=")
		ask("empty list", "set cleanup.policy=")
		ask("unknown operation", "op7 retention.ms=1")
		ask("negative operation", "op-1 retention.ms=1")
		ask("key twice", "set retention.ms=1", "delete retention.ms")
		ask("good and bad", "set retention.ms=777", "set segment.bytes=x")
		ask("no changes")
		s.shownTopic("shown at the end", a, "retention.ms", "5000")
		s.Send("missing topic", incremental(v, false, topicResource, s.Topic("missing"), "set retention.ms=1"))
		s.Send("invalid topic", incremental(v, false, topicResource, "a/b", "set retention.ms=1"))
		s.Send("empty topic", incremental(v, false, topicResource, "", "set retention.ms=1"))
		s.Send("unknown type", incremental(v, false, 77, "x", "set retention.ms=1"))
		twice := incremental(v, false, topicResource, a, "set retention.ms=1")
		twice.Resources = append(twice.Resources, incremental(v, false, topicResource, a, "set retention.ms=2").Resources...)
		s.Send("resource twice", twice)
		s.Send("no resources", withVersion(kmsg.NewPtrIncrementalAlterConfigsRequest(), v))
	})
	for _, kv := range topicValues() {
		out = append(out, one("IncrementalAlterConfigs/value "+kv, func(s *Session) {
			s.CreateTopic("a", 1)
			s.Send("set", incremental(1, true, topicResource, s.Topic("a"), "set "+kv))
		})...)
	}
	return append(out, serial(each("IncrementalAlterConfigs/broker", 0, 1, func(s *Session, v int16) {
		keys := []string{"log.retention.ms", "message.max.bytes", "log.segment.bytes"}
		shown := func(step, name, key, value string) {
			s.Eventually(step, describeConfigs(4, brokerResource, name, keys...), func(r kmsg.Response) bool {
				for _, c := range r.(*kmsg.DescribeConfigsResponse).Resources[0].Configs {
					if c.Name == key {
						return c.Value != nil && *c.Value == value
					}
				}
				return value == ""
			})
		}
		ask := func(step, name string, validate bool, changes ...string) {
			s.Send(step, incremental(v, validate, brokerResource, name, changes...))
		}
		ask("another broker", "99", false, "set log.retention.ms=1")
		ask("not a number", "one", false, "set log.retention.ms=1")
		ask("read-only", "1", false, "set node.id=7")
		ask("read-only for the cluster", "", false, "set node.id=7")
		ask("unknown", "1", true, "set no.such.key=1")
		ask("bad value", "1", false, "set log.retention.ms=soon")
		ask("validate only", "1", true, "set log.retention.ms=600000000")
		ask("of the broker", "1", false, "set log.retention.ms=600000000")
		shown("shown", "1", "log.retention.ms", "600000000")
		ask("of the cluster", "", false, "set message.max.bytes=900000")
		shown("shown for the cluster", "", "message.max.bytes", "900000")
		shown("shown for the broker", "1", "message.max.bytes", "900000")
		s.CreateTopic("a", 1)
		full := describeConfigs(4, topicResource, s.Topic("a"), "retention.ms", "max.message.bytes")
		full.IncludeSynonyms = true
		s.Send("seen by a topic", full)
		s.Send("too large for a topic now", s.produce(7, "a", 0, -1, spec{records: records(strings.Repeat("x", 950000))}.batch()))
		ask("back", "1", false, "delete log.retention.ms")
		ask("back for the cluster", "", false, "delete message.max.bytes")
		shown("shown after it", "1", "message.max.bytes", "1048588")
	}))...)
}

// topicValues are values of topic configs at and beyond the edge of what is allowed.
func topicValues() []string {
	return []string{
		"retention.ms=-1", "retention.ms=-2", "retention.ms=9223372036854775807", "retention.ms=9223372036854775808", "retention.ms= 5 ", "retention.ms=+5", "retention.ms=1e3", "retention.ms=0x10",
		"retention.bytes=-1", "retention.bytes=-2", "segment.bytes=1048576", "segment.bytes=1048575", "segment.bytes=2147483647", "segment.bytes=2147483648", "segment.ms=0", "segment.ms=1",
		"segment.jitter.ms=-1", "segment.index.bytes=3", "segment.index.bytes=4", "index.interval.bytes=-1", "max.message.bytes=-1", "max.message.bytes=0", "flush.messages=0", "flush.messages=1", "flush.ms=-1", "flush.ms=0",
		"file.delete.delay.ms=-1", "delete.retention.ms=-1", "min.compaction.lag.ms=-1", "max.compaction.lag.ms=0", "max.compaction.lag.ms=1", "min.cleanable.dirty.ratio=1.5", "min.cleanable.dirty.ratio=-0.1", "min.cleanable.dirty.ratio=0", "min.cleanable.dirty.ratio=x",
		"cleanup.policy=delete", "cleanup.policy=compact", "cleanup.policy=delete,compact", "cleanup.policy=delete, compact", "cleanup.policy=DELETE", "cleanup.policy=delete,delete", "cleanup.policy=,",
		"unclean.leader.election.enable=true", "unclean.leader.election.enable=TRUE", "unclean.leader.election.enable=yes", "unclean.leader.election.enable=1", "preallocate=true", "preallocate=", "min.insync.replicas=1", "min.insync.replicas=0", "min.insync.replicas=5",
		"compression.type=gzip", "compression.type=GZIP", "compression.type=none", "compression.type=producer", "compression.type=uncompressed", "compression.gzip.level=-1", "compression.gzip.level=0", "compression.gzip.level=1", "compression.gzip.level=9", "compression.gzip.level=10", "compression.gzip.level=-2",
		"compression.lz4.level=0", "compression.lz4.level=1", "compression.lz4.level=17", "compression.lz4.level=18", "compression.zstd.level=-131072", "compression.zstd.level=-131073", "compression.zstd.level=22", "compression.zstd.level=23", "compression.zstd.level=0",
		"message.timestamp.type=CreateTime", "message.timestamp.type=LogAppendTime", "message.timestamp.type=logappendtime", "message.timestamp.before.max.ms=0", "message.timestamp.before.max.ms=-1", "message.timestamp.after.max.ms=0", "message.timestamp.after.max.ms=-1",
		"message.timestamp.difference.max.ms=1", "message.format.version=3.0", "message.downconversion.enable=true", "leader.replication.throttled.replicas=*", "leader.replication.throttled.replicas=x", "leader.replication.throttled.replicas=0:1,1:2", "follower.replication.throttled.replicas=0", "follower.replication.throttled.replicas=",
		"remote.storage.enable=true", "remote.storage.enable=false", "local.retention.ms=-2", "local.retention.ms=-3", "local.retention.ms=1", "local.retention.bytes=-3", "remote.log.copy.disable=true", "remote.log.delete.on.disable=true",
		"internal.segment.bytes=100", "errors.deadletterqueue.group.enable=true", "errors.deadletterqueue.topic.name.prefix=x", "remote.copy.lag.ms=1", "remote.log.copy.lag.ms=1", "remote.copy.lag.bytes=1",
	}
}
