package diff

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// lifePrefix starts the names of the scripts of group life, in their reports and in expected.txt.
const lifePrefix = "Life/"

// LifeProperties are what brokers are started with for the scripts of group life: short timeouts can be asked for.
func LifeProperties() map[string]string {
	p := Properties()
	maps.Copy(p, map[string]string{
		"group.max.size":                           "100",
		"group.consumer.min.session.timeout.ms":    "1000",
		"group.consumer.min.heartbeat.interval.ms": "100",
		"group.consumer.heartbeat.interval.ms":     "1000",
		"group.consumer.regex.refresh.interval.ms": "10000",
	})
	return p
}

// AgingProperties are what brokers are restarted with: offsets that are old go at once, and with them groups that are empty.
func AgingProperties() map[string]string {
	p := LifeProperties()
	p["offsets.retention.check.interval.ms"] = "300"
	return p
}

// shortMillis is a timeout, in milliseconds, that a script waits out. Every other member of the script has one of 30 s or reports all
// the time, so that a slow machine changes nothing.
const shortMillis = 2000

// LifeCases are scripts of group life: members on connections of their own join, share, fall silent, come back, are fenced and
// leave, and Kafka and dmq have to tell the same story.
func LifeCases() []Case {
	scripts := map[string]func(*Session){}
	maps.Copy(scripts, classicLife())
	maps.Copy(scripts, consumerLife())
	maps.Copy(scripts, mixedLife())
	var out []Case
	for _, name := range slices.Sorted(maps.Keys(scripts)) {
		out = append(out, Case{Name: lifePrefix + name, Run: scripts[name]})
	}
	return append(out, restartLife()...)
}

// stable makes a classic group of members that share by name: each has a share that says so.
func (s *Session) stable(members ...*classic) {
	members[0].join("")
	for i, m := range members[1:] {
		s.rebalance("", []*classic{m}, members[:i+1])
	}
	s.share("", members...)
}

// share has the leader among members give each a share that carries its name, and all of them fetch theirs.
func (s *Session) share(step string, members ...*classic) {
	shares := map[*classic][]byte{}
	for _, m := range members {
		shares[m] = []byte("share of " + m.name)
	}
	for _, m := range members {
		if m.leader {
			m.sync(step, shares)
		}
	}
	for _, m := range members {
		if !m.leader {
			m.sync(step, nil)
		}
	}
}

// oneLeads records what the answers of members have in common, where it is not said which of them leads.
func (s *Session) oneLeads(step string, members ...*classic) {
	var leaders []int
	for _, m := range members {
		s.Note(step+": "+m.name, fmt.Sprint("generation ", m.generation))
		if m.leader {
			leaders = append(leaders, len(m.members))
		}
	}
	s.Note(step+": members that the leaders see", leaders)
}

// poll reports for members that must not be forgotten, until done.
func (s *Session) poll(done func() bool) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(heldTimeout); time.Now().Before(end); <-tick.C {
		if done() {
			return
		}
	}
}

// holds is how many partitions the member has been given.
func (c *consumer) holds() int {
	n := 0
	for _, t := range c.owned {
		n += len(t.Partitions)
	}
	return n
}

// settle has members report, each giving up and taking what it is told, until each holds as many partitions as wanted and all
// are in the same epoch; it records who holds how many, and whether each partition has one owner.
func (s *Session) settle(step string, want map[*consumer]int) {
	members := slices.SortedFunc(maps.Keys(want), func(a, b *consumer) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	s.poll(func() bool {
		settled := true
		for _, c := range members {
			c.send("", c.holding())
			settled = settled && c.holds() == want[c] && c.epoch == members[0].epoch
		}
		return settled
	})
	for _, c := range members { // say that they gave up what they were told to
		c.send("", c.holding())
	}
	owners := map[string]string{}
	for _, c := range members {
		s.Note(step+": "+c.name, fmt.Sprintf("epoch %d, %d partitions", c.epoch, c.holds()))
		for _, t := range c.owned {
			for _, p := range t.Partitions {
				key := fmt.Sprintf("%x-%d", t.TopicID, p)
				if owners[key] != "" {
					s.Note(step, "two owners of a partition: "+owners[key]+" and "+c.name)
				}
				owners[key] = c.name
			}
		}
	}
}

// holding says which partitions the member holds, and nothing new of itself; a member that is not in says everything.
func (c *consumer) holding() *kmsg.ConsumerGroupHeartbeatRequest {
	if c.epoch <= 0 {
		return c.full()
	}
	r := c.brief()
	r.Topics = append([]kmsg.ConsumerGroupHeartbeatRequestTopic{}, c.owned...)
	return r
}

// groupConfig sets a config of a group and waits until it shows.
func (s *Session) groupConfig(group, key, value string) {
	name := s.Group(group)
	r := s.Quiet(incremental(1, false, groupResource, name, "set "+key+"="+value)).(*kmsg.IncrementalAlterConfigsResponse)
	if code := r.Resources[0].ErrorCode; code != noError {
		s.must(fmt.Errorf("set %s of group %s: error %d", key, name, code))
	}
	s.must(s.until(func() (bool, error) {
		resp, err := s.ask(describeConfigs(4, groupResource, name, key))
		if err != nil {
			return false, err
		}
		configs := resp.(*kmsg.DescribeConfigsResponse).Resources[0].Configs
		return len(configs) == 1 && configs[0].Value != nil && *configs[0].Value == value, nil
	}))
}

// addPartitions raises the number of a topic's partitions.
func (s *Session) addPartitions(topic string, to int32) {
	r := s.Quiet(partitionsRequest(3, s.Topic(topic), to, false)).(*kmsg.CreatePartitionsResponse)
	if code := r.Topics[0].ErrorCode; code != noError {
		s.must(fmt.Errorf("partitions of %s: error %d", topic, code))
	}
	s.waitTopic(s.Topic(topic), to)
}

func (s *Session) listed(step, group string) {
	s.onto("observer", func() {
		resp, err := s.ask(withVersion(kmsg.NewPtrListGroupsRequest(), 5))
		s.must(err)
		for _, g := range resp.(*kmsg.ListGroupsResponse).Groups {
			if g.Group == group {
				s.Note(step, fmt.Sprintf("%s, %s, %q", g.GroupState, g.GroupType, g.ProtocolType))
				return
			}
		}
		s.Note(step, "not listed")
	})
}
