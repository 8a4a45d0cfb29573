package diff

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Error codes that the group cases act on.
const (
	noError            = 0
	coordinatorLoading = 14
	coordinatorNone    = 15
	notCoordinator     = 16
	rebalanceInProgess = 27
	memberIDRequired   = 79
)

// subscription is what a classic consumer says of itself when it joins.
func subscription(topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.Topics, m.Generation = 3, topics, -1
	return m.AppendTo(nil)
}

// assignment is what a leader gives a classic consumer: partitions of one topic.
func assignment(topic string, partitions ...int32) []byte {
	m := kmsg.NewConsumerMemberAssignment()
	t := kmsg.NewConsumerMemberAssignmentTopic()
	t.Topic, t.Partitions = topic, partitions
	m.Topics = append(m.Topics, t)
	return m.AppendTo(nil)
}

// offsetsPartitions is how many partitions __consumer_offsets has.
const offsetsPartitions = 50

// Group returns the name of a group of this case. All groups of a case belong to one partition of __consumer_offsets, and cases
// that run at the same time have different ones: when an operation on a partition fails, Kafka forgets every group of that
// partition which is not on disk yet, as one whose first members are still joining.
func (s *Session) Group(name string) string {
	for i := 0; ; i++ {
		full := fmt.Sprintf("%s%s-%d", s.prefix, name, i)
		if PartitionOf(full, offsetsPartitions) == s.shard {
			return full
		}
	}
}

// classic is a member of a classic group. It has a connection of its own, and <its name> stands for its id in the transcript.
// Its methods do not record an answer whose step is empty.
type classic struct {
	s          *Session
	name       string
	group      string
	version    int16 // of JoinGroup; the other requests follow, up to their newest
	id         string
	instance   *string
	session    int32 // timeouts in milliseconds
	rebalance  int32
	protocol   string // its type
	protocols  []kmsg.JoinGroupRequestProtocol
	generation int32
	chosen     *string // protocol, of the last answer
	leader     bool
	members    []kmsg.JoinGroupResponseMember
}

func (s *Session) classic(name, group string, version int16, topics ...string) *classic {
	return &classic{
		s: s, name: name, group: s.Group(group), version: version, session: 30000, rebalance: 30000, protocol: "consumer",
		protocols: []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription(topics...)}},
	}
}

// static gives the member an instance id.
func (m *classic) static(instance string) *classic {
	m.instance = &instance
	return m
}

// speaks sets the protocols that the member offers, with metadata of no meaning.
func (m *classic) speaks(kind string, names ...string) *classic {
	m.protocol, m.protocols = kind, nil
	for _, n := range names {
		m.protocols = append(m.protocols, kmsg.JoinGroupRequestProtocol{Name: n, Metadata: []byte(n + " of " + m.name)})
	}
	return m
}

func (m *classic) joinRequest() *kmsg.JoinGroupRequest {
	r := withVersion(kmsg.NewPtrJoinGroupRequest(), m.version)
	r.Group, r.MemberID, r.InstanceID, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = m.group, m.id, m.instance, m.session, m.rebalance
	r.ProtocolType, r.Protocols = m.protocol, m.protocols
	return r
}

// send asks on the member's connection.
func (m *classic) send(step string, req kmsg.Request) kmsg.Response {
	p := m.s.Begin(m.name, req)
	if step == "" {
		resp, err := p.Answer()
		m.s.must(err)
		return resp
	}
	return p.Record(m.name + ": " + step)
}

// beginJoin asks to join. A member that needs an id first gets it here.
func (m *classic) beginJoin() *Pending {
	if m.version >= 4 && m.id == "" && m.instance == nil {
		resp, err := m.s.Begin(m.name, m.joinRequest()).Answer()
		m.s.must(err)
		m.named(resp.(*kmsg.JoinGroupResponse).MemberID)
	}
	return m.s.Begin(m.name, m.joinRequest())
}

func (m *classic) named(id string) {
	m.id = id
	m.s.Name(m.name, id)
}

// wait waits for the answer to beginJoin.
func (m *classic) wait(p *Pending) *kmsg.JoinGroupResponse {
	resp, err := p.Answer()
	m.s.must(err)
	j := resp.(*kmsg.JoinGroupResponse)
	if j.ErrorCode == noError {
		m.named(j.MemberID)
		m.generation, m.chosen, m.leader, m.members = j.Generation, j.Protocol, j.LeaderID == j.MemberID, j.Members
	}
	return j
}

func (m *classic) show(step string, j *kmsg.JoinGroupResponse) {
	if step != "" {
		m.s.recordAnswer(m.name+": "+step, j, nil)
	}
}

// join joins and waits for the answer.
func (m *classic) join(step string) *classic {
	m.show(step, m.wait(m.beginJoin()))
	return m
}

func (m *classic) syncRequest(shares map[*classic][]byte) *kmsg.SyncGroupRequest {
	r := withVersion(kmsg.NewPtrSyncGroupRequest(), min(m.version, 5))
	r.Group, r.MemberID, r.Generation, r.InstanceID = m.group, m.id, m.generation, m.instance
	r.ProtocolType, r.Protocol = &m.protocol, m.chosen
	for _, jm := range m.members { // the order of the answer: maps have none
		for other, share := range shares {
			if other.id == jm.MemberID {
				r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: other.id, MemberAssignment: share})
			}
		}
	}
	return r
}

// sync asks for the assignment; a leader gives out shares.
func (m *classic) sync(step string, shares map[*classic][]byte) *classic {
	m.send(step, m.syncRequest(shares))
	return m
}

func (m *classic) heartbeatRequest() *kmsg.HeartbeatRequest {
	r := withVersion(kmsg.NewPtrHeartbeatRequest(), min(m.version, 4))
	r.Group, r.MemberID, r.Generation, r.InstanceID = m.group, m.id, m.generation, m.instance
	return r
}

func (m *classic) heartbeat(step string) int16 {
	r, _ := m.send(step, m.heartbeatRequest()).(*kmsg.HeartbeatResponse)
	if r == nil {
		return -1
	}
	return r.ErrorCode
}

// heartbeatUntil reports until the answer is that code, and records the answer.
func (m *classic) heartbeatUntil(step string, code int16) {
	m.s.onto(m.name, func() {
		m.s.Eventually(m.name+": "+step, m.heartbeatRequest(), func(r kmsg.Response) bool { return r.(*kmsg.HeartbeatResponse).ErrorCode == code })
	})
}

func (m *classic) leave(step string) {
	r := withVersion(kmsg.NewPtrLeaveGroupRequest(), min(m.version, 5))
	r.Group, r.MemberID = m.group, m.id
	r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: m.id, InstanceID: m.instance}}
	m.send(step, r)
}

// vanish cuts the member's connection, as a crash does.
func (m *classic) vanish() { m.s.onto(m.name, m.s.hangUp) }

// onto has f use the connection of that name.
func (s *Session) onto(conn string, f func()) {
	before := s.conn
	s.conn = conn
	defer func() { s.conn = before }()
	f()
}

// rebalance has new members join and all others join again, and records the answers when the last has come. The new ones come in
// one by one, since the order counts.
func (s *Session) rebalance(step string, joiners, rejoiners []*classic) {
	members := append(append([]*classic{}, joiners...), rejoiners...)
	waiting := make([]*Pending, len(members))
	for i, m := range joiners {
		waiting[i] = m.beginJoin()
		s.waitMembers(m.group, len(rejoiners)+i+1)
	}
	for i, m := range rejoiners {
		waiting[len(joiners)+i] = m.beginJoin()
	}
	resp := make([]*kmsg.JoinGroupResponse, len(members))
	for i, m := range members {
		resp[i] = m.wait(waiting[i])
	}
	for i, m := range members { // now every id has a name
		m.show(step, resp[i])
	}
}

// waitMembers waits until a group has n members.
func (s *Session) waitMembers(group string, n int) {
	s.waitGroup(group, func(g kmsg.DescribeGroupsResponseGroup) bool { return len(g.Members) == n })
}

// waitState waits until a group is in a state.
func (s *Session) waitState(group, state string) {
	s.waitGroup(group, func(g kmsg.DescribeGroupsResponseGroup) bool { return g.State == state })
}

func (s *Session) waitGroup(group string, ok func(kmsg.DescribeGroupsResponseGroup) bool) {
	s.onto("observer", func() {
		s.must(s.until(func() (bool, error) {
			resp, err := s.ask(describeGroups(6, group))
			return err == nil && ok(resp.(*kmsg.DescribeGroupsResponse).Groups[0]), err
		}))
	})
}

func describeGroups(v int16, groups ...string) *kmsg.DescribeGroupsRequest {
	r := withVersion(kmsg.NewPtrDescribeGroupsRequest(), v)
	r.Groups = groups
	return r
}

// describe records what DescribeGroups says of groups.
func (s *Session) describe(step string, groups ...string) *kmsg.DescribeGroupsResponse {
	r, _ := s.Send(step, describeGroups(6, groups...)).(*kmsg.DescribeGroupsResponse)
	return r
}

// consumer is a member of a consumer group (KIP-848), on a connection of its own.
type consumer struct {
	s         *Session
	name      string
	group     string
	version   int16 // of ConsumerGroupHeartbeat
	id        string
	instance  *string
	rack      *string
	epoch     int32
	topics    []string // nil: none named
	regex     *string
	assignor  *string
	rebalance int32
	owned     []kmsg.ConsumerGroupHeartbeatRequestTopic // what it has been given, and holds
}

// consumer returns a member that makes up its id, as clients do from version 1 on.
func (s *Session) consumer(name, group string, version int16, topics ...string) *consumer {
	return &consumer{s: s, name: name, group: s.Group(group), version: version, id: "id-of-" + name, topics: topics, rebalance: 30000}
}

// Known waits until the coordinator of the groups of this case knows its topics: brokers tell coordinators of new topics after
// they have told clients. Another group that the same coordinator looks after tells it.
func (s *Session) Known(topics ...string) {
	probe := ""
	for i := 0; probe == "" || PartitionOf(probe, offsetsPartitions) != s.shard; i++ {
		probe = fmt.Sprintf("%sprobe-%s%d", casePrefix, s.prefix, i)
	}
	var names []string
	for _, t := range topics {
		names = append(names, s.Topic(t))
	}
	s.must(s.until(func() (bool, error) {
		c := &consumer{s: s, name: "probe", group: probe, version: 1, id: "probe", topics: names, rebalance: 30000}
		c.beat("").beat("")
		known := len(c.owned) == len(topics)
		c.leave("")
		return known, nil
	}))
}

// full is a request that says everything, as a member's first does.
func (c *consumer) full() *kmsg.ConsumerGroupHeartbeatRequest {
	r := withVersion(kmsg.NewPtrConsumerGroupHeartbeatRequest(), c.version)
	r.Group, r.MemberID, r.MemberEpoch, r.InstanceID, r.RackID = c.group, c.id, c.epoch, c.instance, c.rack
	r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.SubscribedTopicRegex, r.ServerAssignor = c.rebalance, c.topics, c.regex, c.assignor
	r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if c.epoch > 0 {
		r.Topics = append(r.Topics, c.owned...)
	}
	return r
}

// brief is a request that says nothing but that the member lives.
func (c *consumer) brief() *kmsg.ConsumerGroupHeartbeatRequest {
	r := withVersion(kmsg.NewPtrConsumerGroupHeartbeatRequest(), c.version)
	r.Group, r.MemberID, r.MemberEpoch, r.InstanceID, r.RebalanceTimeoutMillis = c.group, c.id, c.epoch, c.instance, -1
	return r
}

// send asks on the member's connection and takes in the answer. Without a step nothing is recorded.
func (c *consumer) send(step string, req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	resp, err := c.s.Begin(c.name, req).Answer()
	if err == nil {
		c.take(resp.(*kmsg.ConsumerGroupHeartbeatResponse))
	} else if step == "" {
		c.s.must(err)
	}
	if step != "" {
		c.s.recordAnswer(c.name+": "+step, resp, err)
	}
	r, _ := resp.(*kmsg.ConsumerGroupHeartbeatResponse)
	return r
}

func (c *consumer) take(r *kmsg.ConsumerGroupHeartbeatResponse) {
	if r.ErrorCode != noError {
		return
	}
	if r.MemberID != nil && c.id == "" {
		c.id = *r.MemberID
		c.s.Name(c.name, c.id)
	}
	c.epoch = r.MemberEpoch
	if r.Assignment == nil {
		return
	}
	c.owned = nil
	for _, t := range r.Assignment.Topics {
		c.owned = append(c.owned, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
	}
}

// beat says everything.
func (c *consumer) beat(step string) *consumer {
	c.send(step, c.full())
	return c
}

func (c *consumer) leave(step string) {
	r := c.brief()
	r.MemberEpoch = -1
	c.send(step, r)
}
