package diff

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const groupResource = kmsg.ConfigResourceTypeGroupConfig

// manyGroups makes a group in each state that stays: Empty with offsets, Empty without, CompletingRebalance, Stable, Stable with
// the consumer protocol.
func (s *Session) manyGroups() (names []string) {
	s.CreateTopic("a", 2)
	s.Known("a")
	a := s.Topic("a")
	s.Quiet(commitRequest(9, s.Group("offsets"), a))
	s.classic("left", "left", 9, a).join("").leave("")
	s.classic("joined", "joined", 9, a).join("")
	m := s.classic("m", "stable", 9, a).join("")
	m.sync("", map[*classic][]byte{m: assignment(a, 0, 1)})
	x := s.classic("x", "connect", 9).speaks("connect", "x").join("")
	x.sync("", map[*classic][]byte{x: []byte("x")})
	s.consumer("c", "modern", 1, a).beat("")
	s.consumer("d", "modern left", 1, a).beat("").leave("")
	for _, n := range []string{"offsets", "left", "joined", "stable", "connect", "modern", "modern left"} {
		names = append(names, s.Group(n))
	}
	return names
}

func groupAdminCases() []Case {
	out := each("ListGroups", 0, 5, func(s *Session, v int16) {
		s.manyGroups()
		ask := func(step string, states, types []string) {
			r := withVersion(kmsg.NewPtrListGroupsRequest(), v)
			r.StatesFilter, r.TypesFilter = states, types
			s.Send(step, r)
		}
		ask("all", nil, nil)
		if v >= 4 {
			for _, state := range []string{"Stable", "Empty", "CompletingRebalance", "PreparingRebalance", "Dead", "Assigning", "Reconciling", "stable", "EMPTY", "NotReady", "x", ""} {
				ask("state "+state, []string{state}, nil)
			}
			ask("two states", []string{"Stable", "Empty"}, nil)
		}
		if v >= 5 {
			for _, kind := range []string{"classic", "consumer", "Consumer", "CLASSIC", "share", "streams", "unknown", "x", ""} {
				ask("type "+kind, nil, []string{kind})
			}
			ask("two types", nil, []string{"classic", "consumer"})
			ask("state and type", []string{"Stable"}, []string{"consumer"})
		}
	})
	out = append(out, each("DescribeGroups", 0, 6, func(s *Session, v int16) {
		names := s.manyGroups()
		s.Send("all", describeGroups(v, names...))
		s.Send("unknown", describeGroups(v, s.Group("unknown"), names[0]))
		s.Send("twice", describeGroups(v, names[3], names[3]))
		s.Send("none", describeGroups(v))
		if v >= 3 {
			r := describeGroups(v, names[3], names[5], s.Group("unknown"))
			r.IncludeAuthorizedOperations = true
			s.Send("authorized operations", r)
		}
	})...)
	out = append(out, each("DeleteGroups", 0, 3, func(s *Session, v int16) {
		names := s.manyGroups()
		del := func(step string, groups ...string) {
			r := withVersion(kmsg.NewPtrDeleteGroupsRequest(), v)
			r.Groups = groups
			s.Send(step, r)
		}
		del("unknown", s.Group("unknown"))
		del("none")
		del("all", names...)
		s.Send("what is left", describeGroups(6, names...))
		s.committed("no offsets are left", names[0])
		del("again, twice", names[0], names[0])
		s.Quiet(commitRequest(9, names[0], s.Topic("a")))
		s.committed("made again", names[0])
	})...)
	out = append(out, each("ConsumerGroupDescribe", 0, 1, func(s *Session, v int16) {
		names := s.manyGroups()
		ask := func(step string, operations bool, groups ...string) {
			r := withVersion(kmsg.NewPtrConsumerGroupDescribeRequest(), v)
			r.Groups, r.IncludeAuthorizedOperations = groups, operations
			s.Send(step, r)
		}
		ask("all", false, names...)
		ask("unknown", false, s.Group("unknown"), names[5])
		ask("twice", false, names[5], names[5])
		ask("none", false)
		ask("authorized operations", true, names[5], s.Group("unknown"))
	})...)
	out = append(out, emptyIDCases()...)
	return append(out, groupConfigCases()...)
}

// emptyIDCases are about the group without a name, which anybody who commits for no group makes: they have it to themselves.
func emptyIDCases() []Case {
	return serial(each("empty group id", 0, 3, func(s *Session, v int16) {
		s.CreateTopic("a", 1)
		del := withVersion(kmsg.NewPtrDeleteGroupsRequest(), v)
		del.Groups = []string{""}
		consumer := withVersion(kmsg.NewPtrConsumerGroupDescribeRequest(), v%2)
		consumer.Groups = []string{""}
		s.Quiet(commitRequest(9, "", s.Topic("a")))
		s.Send("describe", describeGroups(v, ""))
		s.Send("describe as a consumer group", consumer)
		s.Send("delete", del)
		s.Send("describe again", describeGroups(v+3, ""))
		s.Send("delete again", del)
	}))
}

func groupConfigCases() []Case {
	out := each("DescribeConfigs/group", 1, 4, func(s *Session, v int16) {
		s.CreateTopic("a", 1)
		s.Quiet(commitRequest(9, s.Group("g"), s.Topic("a")))
		s.Send("all", describeConfigs(v, groupResource, s.Group("g")))
		full := describeConfigs(v, groupResource, s.Group("g"))
		full.IncludeSynonyms, full.IncludeDocumentation = true, v >= 3
		s.Send("all with synonyms and documentation", full)
		s.Send("a group that is not there", describeConfigs(v, groupResource, s.Group("unknown"), "consumer.session.timeout.ms"))
		s.Send("named", describeConfigs(v, groupResource, s.Group("g"), "consumer.session.timeout.ms", "no.such.key", "retention.ms"))
		s.Send("empty name", describeConfigs(v, groupResource, ""))
	})
	out = append(out, each("IncrementalAlterConfigs/group", 0, 1, func(s *Session, v int16) {
		g := s.Group("g")
		shown := func(step string) {
			full := describeConfigs(4, groupResource, g, "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms", "consumer.assignment.interval.ms", "consumer.assignor.offload.enable")
			full.IncludeSynonyms = true
			s.Send(step, full)
		}
		shown("before")
		s.Send("validate only", incremental(v, true, groupResource, g, "set consumer.session.timeout.ms=46000"))
		s.Send("set", incremental(v, false, groupResource, g, "set consumer.session.timeout.ms=46000", "set consumer.heartbeat.interval.ms=6000"))
		s.Eventually("shown", describeConfigs(4, groupResource, g, "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"), func(r kmsg.Response) bool {
			for _, c := range r.(*kmsg.DescribeConfigsResponse).Resources[0].Configs {
				if c.Value != nil && *c.Value == "46000" {
					return true
				}
			}
			return false
		})
		shown("shown with synonyms")
		for _, kv := range []string{
			"consumer.session.timeout.ms=100", "consumer.session.timeout.ms=60001", "consumer.session.timeout.ms=x", "consumer.session.timeout.ms=0", "consumer.session.timeout.ms=-1",
			"consumer.heartbeat.interval.ms=100", "consumer.heartbeat.interval.ms=15001", "consumer.heartbeat.interval.ms=50000", "consumer.assignment.interval.ms=-1", "consumer.assignment.interval.ms=15001", "consumer.assignment.interval.ms=5",
			"consumer.assignor.offload.enable=false", "consumer.assignor.offload.enable=maybe", "no.such.key=1", "retention.ms=1", "group.consumer.session.timeout.ms=46000", "share.session.timeout.ms=46000", "streams.session.timeout.ms=46000",
		} {
			s.Send("set "+kv, incremental(v, false, groupResource, s.Group("other"), "set "+kv))
		}
		s.Send("append", incremental(v, false, groupResource, g, "append consumer.session.timeout.ms=47000"))
		s.Send("empty name", incremental(v, false, groupResource, "", "set consumer.session.timeout.ms=46000"))
		s.Send("two of which one is bad", incremental(v, false, groupResource, g, "set consumer.session.timeout.ms=47000", "set consumer.heartbeat.interval.ms=x"))
		s.Send("delete", incremental(v, false, groupResource, g, "delete consumer.session.timeout.ms"))
		s.Send("delete what is not set", incremental(v, false, groupResource, g, "delete consumer.assignment.interval.ms"))
		s.Eventually("shown after it", describeConfigs(4, groupResource, g, "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"), func(r kmsg.Response) bool {
			for _, c := range r.(*kmsg.DescribeConfigsResponse).Resources[0].Configs {
				if c.Value != nil && *c.Value == "46000" {
					return false
				}
			}
			return true
		})
		list := withVersion(kmsg.NewPtrListConfigResourcesRequest(), 1)
		list.ResourceTypes = []int8{32}
		s.Send("listed", list)
	})...)
	out = append(out, each("AlterConfigs/group", 0, 2, func(s *Session, v int16) {
		g := s.Group("g")
		s.Send("set", alterConfigs(v, false, groupResource, g, "consumer.session.timeout.ms=50000"))
		s.Send("bad", alterConfigs(v, false, groupResource, g, "consumer.session.timeout.ms=5"))
		s.Send("replaced", alterConfigs(v, false, groupResource, g, "consumer.heartbeat.interval.ms=7000"))
		s.Eventually("shown", describeConfigs(4, groupResource, g, "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"), func(r kmsg.Response) bool {
			text := ""
			for _, c := range r.(*kmsg.DescribeConfigsResponse).Resources[0].Configs {
				if c.Value != nil {
					text += *c.Value + " "
				}
			}
			return strings.Contains(text, "7000") && !strings.Contains(text, "50000")
		})
		s.Send("empty name", alterConfigs(v, false, groupResource, "", "consumer.session.timeout.ms=50000"))
	})...)
	return append(out, offsetsTopicCases()...)
}

// offsetsTopicCases look at __consumer_offsets as at any topic.
func offsetsTopicCases() []Case {
	const name = "__consumer_offsets"
	out := each("Metadata/offsets topic", 0, 13, func(s *Session, v int16) { s.Send("answer", metadataRequest(v, name)) })
	out = append(out, one("DescribeTopicPartitions/offsets topic v0", func(s *Session) {
		r := kmsg.NewPtrDescribeTopicPartitionsRequest()
		r.ResponsePartitionLimit = 2000
		r.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: name}}
		s.Send("answer", r)
	})...)
	out = append(out, each("DescribeConfigs/offsets topic", 1, 4, func(s *Session, v int16) {
		full := describeConfigs(v, topicResource, name)
		full.IncludeSynonyms = true
		s.Send("answer", full)
	})...)
	return append(out, one("Offsets topic/changes", func(s *Session) {
		s.Send("create", createRequest(7, false, newTopic{name: name, partitions: 1, factor: 1}))
		s.Send("create a name that collides", createRequest(7, false, newTopic{name: "__consumer.offsets", partitions: 1, factor: 1}))
		s.Send("produce", produceRequest(9, name, 0, -1, spec{records: records("x")}.batch()))
	})...)
}
