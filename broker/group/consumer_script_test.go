package group

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/coordlog/coordtest"
	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func TestConsumerTranscripts(t *testing.T) {
	playTranscripts(t, "testdata/consumer/*.txt", func(t *testing.T) func(string, args) string {
		t.Helper()
		w := newConsumerWorld()
		return func(command string, a args) string { return w.play(t, command, a) }
	})
}

// consumerWorld is a coordinator, the cluster's topics, and members of groups. A member is a name in the transcript, which is also
// its id where it makes up its own. It knows its epoch and what it was last told that it may own.
type consumerWorld struct {
	settings Settings
	consumer ConsumerSettings
	image    *image.Image
	shard    *coordtest.Shard[*State]
	members  map[string]*scriptMember
	rand     *rand.Rand
	seen     int // records that were printed
	out      strings.Builder
}

type scriptMember struct {
	id         string
	epoch      int32
	told       []kmsg.ConsumerGroupHeartbeatRequestTopic
	generation int32
}

func newConsumerWorld() *consumerWorld {
	w := &consumerWorld{
		settings: classicSettings(), image: image.Empty(), members: make(map[string]*scriptMember),
		rand:     rand.New(rand.NewPCG(1, 2)),
		consumer: ConsumerSettings{SessionTimeout: 45 * time.Second, HeartbeatInterval: 5 * time.Second},
	}
	w.settings.ConsumerMaxSize = 1000
	w.settings.Assignors = []string{"uniform", "range"}
	w.settings.MigrationPolicy = MigrationBidirectional
	w.settings.RegexRefresh = 10 * time.Minute
	w.settings.ConsumerGroupsServed = true
	w.shard = coordtest.New(w.machine())
	return w
}

func (w *consumerWorld) machine() *State {
	return NewState(Env{
		Settings:      func() Settings { return w.settings },
		GroupSettings: func(string) ConsumerSettings { return w.consumer },
		Image:         func() *image.Image { return w.image },
		Rand:          w.rand, Logger: slog.New(slog.DiscardHandler),
	})
}

func (w *consumerWorld) printf(format string, a ...any) { fmt.Fprintf(&w.out, format, a...) }

func (w *consumerWorld) member(name string) *scriptMember {
	m := w.members[name]
	if m == nil {
		m = &scriptMember{id: name}
		w.members[name] = m
	}
	return m
}

func (w *consumerWorld) play(t *testing.T, command string, a args) string {
	t.Helper()
	w.out.Reset()
	if len(a.words) > 0 && a.words[0] == "''" {
		a.words[0] = ""
	}
	switch command {
	case "topic", "grow", "delete-topic", "racks":
		w.changeMetadata(t, command, a)
	case "config":
		w.configure(t, a)
	case "beat":
		w.beat(t, a)
	case "leave":
		w.leave(a)
	case "classic-join":
		w.classicJoin(t, a)
	case "classic-sync":
		w.classicSync(t, a)
	case "classic-beat":
		w.classicBeat(a)
	case "classic-leave":
		w.classicLeave(a)
	case "commit", "fetch":
		w.commit(t, command, a)
	case "describe":
		w.describe(a.words[0])
	case "groups":
		for _, id := range slices.Sorted(maps.Keys(w.shard.Machine.groups)) {
			g := w.shard.Machine.groups[id]
			w.printf("%s %s %s %s members=%d\n", id, g.kind(), g.protocolType(), g.state(), g.memberCount())
		}
	case "ask":
		w.ask(a)
	case "delete":
		w.shard.Do(func(fx coordlog.Effects, s *State) {
			s.DeleteGroup(fx, Caller{}, a.words[0], func(r kmsg.DeleteGroupsResponseGroup) { w.printf("%s\n", errcode.Name(r.ErrorCode)) })
		})
	case "background":
		w.shard.RunBackground()
	case "advance":
		w.advance(t, a)
	case "timers":
		for _, timer := range w.shard.Timers() {
			if !strings.HasPrefix(timer, expiryTimer) {
				w.printf("%s\n", timer)
			}
		}
	case "events":
		w.events(a.words[0])
	case "reload":
		next, err := w.shard.Reload(w.machine())
		if err != nil {
			t.Fatal(err)
		}
		w.shard = next
	default:
		t.Fatalf("unknown command %s", command)
	}
	w.records(t)
	return w.out.String()
}

// configure is: config [policy=…] [size=…] [classic-size=…] [interval=1s] [session=…] [offload=1] [background=1] [batch=…]
func (w *consumerWorld) configure(t *testing.T, a args) {
	t.Helper()
	policies := map[string]MigrationPolicy{
		"disabled": MigrationDisabled, "upgrade": MigrationUpgrade, "downgrade": MigrationDowngrade, "bidirectional": MigrationBidirectional,
	}
	if name, ok := a.named["policy"]; ok {
		policy, ok := policies[name]
		if !ok {
			t.Fatalf("no policy %s", name)
		}
		w.settings.MigrationPolicy = policy
	}
	w.settings.ConsumerMaxSize = a.num("size", w.settings.ConsumerMaxSize)
	w.settings.MaxSize = a.num("classic-size", w.settings.MaxSize)
	w.settings.Assignors = a.list("assignors", strings.Join(w.settings.Assignors, ","))
	w.consumer.AssignmentInterval = a.duration("interval", w.consumer.AssignmentInterval)
	w.consumer.SessionTimeout = a.duration("session", w.consumer.SessionTimeout)
	w.consumer.HeartbeatInterval = a.duration("heartbeat", w.consumer.HeartbeatInterval)
	w.consumer.AssignorOffload = a.num("offload", 0) == 1
	w.shard.Background = a.num("background", 0) == 1
	w.shard.MaxBatch = a.num("batch", w.shard.MaxBatch)
}

// changeMetadata is: topic NAME partitions=… | grow NAME partitions=… | delete-topic NAME | racks
func (w *consumerWorld) changeMetadata(t *testing.T, command string, a args) {
	t.Helper()
	var records []metadata.Record
	switch command {
	case "topic":
		id := protocol.TopicID{15: byte(w.image.Topics.Len() + 1 + 100*len(a.named["again"]))}
		records = append(records, &metadata.TopicRecord{Name: a.words[0], ID: id})
		records = append(records, newPartitions(id, 0, a.num("partitions", 1))...)
	case "grow":
		topic := w.image.Topic(a.words[0])
		records = newPartitions(topic.ID, len(topic.Partitions), a.num("partitions", 1))
	case "delete-topic":
		records = append(records, &metadata.RemoveTopicRecord{ID: w.image.Topic(a.words[0]).ID})
	case "racks":
		rack := "rack"
		records = append(records, &metadata.RegisterBrokerRecord{ID: 1, Rack: &rack})
	}
	w.apply(t, records)
}

func newPartitions(id protocol.TopicID, from, to int) []metadata.Record {
	var out []metadata.Record
	for p := from; p < to; p++ {
		state := image.Partition{Replicas: []protocol.NodeID{1}, ISR: []protocol.NodeID{1}, Leader: 1}
		out = append(out, &metadata.PartitionRecord{TopicID: id, Partition: int32(p), PartitionState: state})
	}
	return out
}

func (w *consumerWorld) apply(t rapid.TB, records []metadata.Record) {
	t.Helper()
	b := image.NewBuilder(w.image)
	if err := b.Apply(w.image.Version+1, &metadata.Command{Records: records}); err != nil {
		t.Fatal(err)
	}
	_, d := b.Build()
	w.image = d.Next
	w.shard.Do(func(fx coordlog.Effects, s *State) { s.MetadataChanged(fx, d) })
}

// beat is a heartbeat: beat GROUP MEMBER [join] [full] [epoch=…] [topics=a,b] [regex=…] [assignor=…] [owns=a:0-2,b:1|all|none]
// [instance=…] [rack=…] [rebalance=1m] [v=1] [client=…] [id=…] [lost]. A join says what it has to; full says everything; lost means
// that the member does not get the answer.
func (w *consumerWorld) beat(t *testing.T, a args) {
	t.Helper()
	m := w.member(a.words[1])
	flags := a.words[2:]
	has := func(flag string) bool { return slices.Contains(flags, flag) }
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version = int16(a.num("v", 1))
	req.Group, req.MemberID, req.MemberEpoch = a.words[0], m.id, m.epoch
	if id, ok := a.named["id"]; ok {
		req.MemberID = id
	}
	if has("join") {
		req.MemberEpoch, req.RebalanceTimeoutMillis = joinEpoch, 60_000
		req.SubscribedTopicNames, req.Topics = []string{}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		m.told = nil
	}
	if has("full") {
		req.RebalanceTimeoutMillis = 60_000
		req.Topics = slices.Concat([]kmsg.ConsumerGroupHeartbeatRequestTopic{}, m.told)
	}
	req.MemberEpoch = int32(a.num("epoch", int(req.MemberEpoch)))
	req.RebalanceTimeoutMillis = int32(a.num("rebalance", int(req.RebalanceTimeoutMillis)))
	req.InstanceID, req.RackID = a.nullable("instance"), a.nullable("rack")
	req.SubscribedTopicRegex, req.ServerAssignor = a.nullable("regex"), a.nullable("assignor")
	if topics, ok := a.named["topics"]; ok {
		req.SubscribedTopicNames = []string{}
		if topics == "null" {
			req.SubscribedTopicNames = nil
		} else if topics != "" {
			req.SubscribedTopicNames = strings.Split(topics, ",")
		}
	}
	if owns, ok := a.named["owns"]; ok {
		req.Topics = w.parseOwned(t, m, owns)
	}
	c := Caller{ClientID: a.one("client", a.words[1]), ClientHost: "/127.0.0.1"}
	w.shard.Do(func(fx coordlog.Effects, s *State) {
		s.ConsumerGroupHeartbeat(fx, c, req, func(r *kmsg.ConsumerGroupHeartbeatResponse) { w.answered(m, r, has("lost")) })
	})
}

func (w *consumerWorld) parseOwned(t *testing.T, m *scriptMember, text string) []kmsg.ConsumerGroupHeartbeatRequestTopic {
	t.Helper()
	out := []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	switch text {
	case "none":
		return out
	case "null":
		return nil
	case "all":
		return append(out, m.told...)
	}
	for part := range strings.SplitSeq(text, ",") {
		name, partitions, _ := strings.Cut(part, ":")
		topic := kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: w.image.Topic(name).ID}
		topic.Partitions = parsePartitions(t, partitions)
		out = append(out, topic)
	}
	return out
}

// parsePartitions reads 0-2 or 0+2+5.
func parsePartitions(t *testing.T, text string) []int32 {
	t.Helper()
	var out []int32
	for part := range strings.SplitSeq(text, "+") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		for p := from; p <= to; p++ {
			out = append(out, int32(p))
		}
	}
	return out
}

func (w *consumerWorld) answered(m *scriptMember, r *kmsg.ConsumerGroupHeartbeatResponse, lost bool) {
	w.printf("%s", errcode.Name(r.ErrorCode))
	if r.ErrorMessage != nil {
		w.printf(": %s", *r.ErrorMessage)
	}
	if r.ErrorCode == 0 {
		w.printf(" %s epoch=%d interval=%s", *r.MemberID, r.MemberEpoch, time.Duration(r.HeartbeatIntervalMillis)*time.Millisecond)
		if r.Assignment != nil {
			w.printf(" assigned=%s", w.showTopics(r.Assignment.Topics))
		}
	}
	w.printf("\n")
	if r.ErrorCode != 0 || lost {
		return
	}
	m.id, m.epoch = *r.MemberID, r.MemberEpoch
	if r.Assignment != nil {
		m.told = nil
		for _, t := range r.Assignment.Topics {
			m.told = append(m.told, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
}

func (w *consumerWorld) showTopics(topics []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic) string {
	var a assignor.Assignment
	for _, t := range topics {
		a = append(a, assignor.TopicPartitions{TopicID: t.TopicID, Partitions: t.Partitions})
	}
	return w.showAssignment(a)
}

func (w *consumerWorld) showAssignment(a assignor.Assignment) string {
	if len(a) == 0 {
		return "none"
	}
	var parts []string
	for _, t := range a {
		parts = append(parts, w.topicName(t.TopicID)+":"+showPartitions(t.Partitions))
	}
	return strings.Join(parts, ",")
}

func (w *consumerWorld) topicName(id protocol.TopicID) string {
	if name, ok := w.image.TopicNames.Lookup(id); ok {
		return name
	}
	return "#" + strconv.Itoa(int(id[15]))
}

func showPartitions(partitions []int32) string {
	var parts []string
	for i := 0; i < len(partitions); {
		j := i
		for j+1 < len(partitions) && partitions[j+1] == partitions[j]+1 {
			j++
		}
		text := strconv.Itoa(int(partitions[i]))
		if j > i {
			text += "-" + strconv.Itoa(int(partitions[j]))
		}
		parts = append(parts, text)
		i = j + 1
	}
	return strings.Join(parts, "+")
}

func (w *consumerWorld) showOwned(o ownedPartitions) string {
	if len(o) == 0 {
		return "none"
	}
	var parts []string
	for _, t := range o {
		for start := 0; start < len(t.Partitions); {
			end := start + 1
			for end < len(t.Partitions) && t.AssignmentEpochs[end] == t.AssignmentEpochs[start] {
				end++
			}
			parts = append(parts, fmt.Sprintf("%s:%s@%d", w.topicName(t.TopicID), showPartitions(t.Partitions[start:end]), t.AssignmentEpochs[start]))
			start = end
		}
	}
	return strings.Join(parts, ",")
}

// leave is: leave GROUP MEMBER [instance=…] [epoch=-1]
func (w *consumerWorld) leave(a args) {
	m := w.member(a.words[1])
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID = 1, a.words[0], m.id, a.nullable("instance")
	req.MemberEpoch = int32(a.num("epoch", -1))
	w.shard.Do(func(fx coordlog.Effects, s *State) {
		s.ConsumerGroupHeartbeat(fx, Caller{}, req, func(r *kmsg.ConsumerGroupHeartbeatResponse) { w.answered(&scriptMember{}, r, true) })
	})
}

// classicJoin is: classic-join GROUP MEMBER [topics=a,b] [owns=…] [protocols=range,…] [instance=…] [type=…] [session=10s] [v=9] [id=…]
// [metadata=raw bytes]. What it owns is what it was last told.
func (w *consumerWorld) classicJoin(t *testing.T, a args) {
	t.Helper()
	m := w.member(a.words[1])
	if m.generation == 0 && m.epoch == 0 && m.id == a.words[1] {
		m.id = ""
	}
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = int16(a.num("v", 9))
	req.Group, req.MemberID, req.InstanceID = a.words[0], a.one("id", m.id), a.nullable("instance")
	req.SessionTimeoutMillis = int32(a.duration("session", 10*time.Second).Milliseconds())
	req.RebalanceTimeoutMillis = 60_000
	req.ProtocolType = a.one("type", "consumer")
	subscription := kmsg.NewConsumerMemberMetadata()
	subscription.Version, subscription.Topics, subscription.Generation = 3, a.list("topics", ""), m.generation
	for _, owned := range w.parseOwned(t, m, a.one("owns", "all")) {
		subscription.OwnedPartitions = append(subscription.OwnedPartitions,
			kmsg.ConsumerMemberMetadataOwnedPartition{Topic: w.topicName(owned.TopicID), Partitions: owned.Partitions})
	}
	for _, name := range a.list("protocols", "range") {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = name, subscription.AppendTo(nil)
		if raw, ok := a.named["metadata"]; ok {
			p.Metadata = []byte(raw)
		}
		req.Protocols = append(req.Protocols, p)
	}
	c := Caller{ClientID: a.words[1], ClientHost: "/127.0.0.1"}
	w.shard.Do(func(fx coordlog.Effects, s *State) {
		s.JoinGroup(fx, c, req, func(r *kmsg.JoinGroupResponse) {
			w.printf("%s: %s", a.words[1], errcode.Name(r.ErrorCode))
			if r.MemberID != "" {
				w.printf(" %s", w.rename(r.MemberID, a.words[1]))
			}
			if r.ErrorCode == 0 {
				w.printf(" generation=%d %s %s leader=%q", r.Generation, or(r.ProtocolType), or(r.Protocol), w.rename(r.LeaderID, a.words[1]))
				m.generation, m.epoch = r.Generation, r.Generation
			}
			w.printf("\n")
			if r.MemberID != "" {
				m.id = r.MemberID
			}
		})
	})
}

// rename shows an id that the coordinator made up as that of whoever it belongs to.
func (w *consumerWorld) rename(id, asked string) string {
	if id == "" {
		return ""
	}
	for name, m := range w.members {
		if m.id == id {
			return name
		}
	}
	w.member(asked).id = id
	return asked
}

// classicSync is: classic-sync GROUP MEMBER [assign=OTHER=a:0-2;…] [protocol=…] [type=…] [generation=…] [userdata=…]
func (w *consumerWorld) classicSync(t *testing.T, a args) {
	t.Helper()
	m := w.member(a.words[1])
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID = 5, a.words[0], m.id, a.nullable("instance")
	req.Generation = int32(a.num("generation", int(m.generation)))
	typ, protocol := a.one("type", "consumer"), a.one("protocol", "range")
	req.ProtocolType, req.Protocol = &typ, &protocol
	for _, spec := range a.words[2:] {
		name, partitions, _ := strings.Cut(spec, "/")
		assignment := kmsg.NewConsumerMemberAssignment()
		assignment.UserData = []byte(a.one("userdata", ""))
		for _, owned := range w.parseOwned(t, m, partitions) {
			assignment.Topics = append(assignment.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: w.topicName(owned.TopicID), Partitions: owned.Partitions})
		}
		given := kmsg.NewSyncGroupRequestGroupAssignment()
		given.MemberID, given.MemberAssignment = w.member(name).id, assignment.AppendTo(nil)
		if raw, ok := a.named["raw"]; ok {
			given.MemberAssignment = []byte(raw)
		}
		req.GroupAssignment = append(req.GroupAssignment, given)
	}
	w.shard.Do(func(fx coordlog.Effects, s *State) {
		s.SyncGroup(fx, Caller{}, req, func(r *kmsg.SyncGroupResponse) {
			w.printf("%s: %s", a.words[1], errcode.Name(r.ErrorCode))
			if r.ErrorCode == 0 {
				given, err := schema.DecodeAssignment(r.MemberAssignment)
				if err != nil {
					w.printf(" %q\n", r.MemberAssignment)
					return
				}
				told := assignmentByID(w.image, given.Topics)
				w.printf(" %s %s assigned=%s", or(r.ProtocolType), or(r.Protocol), w.showAssignment(told))
				m.told = nil
				for _, t := range told {
					m.told = append(m.told, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
				}
			}
			w.printf("\n")
		})
	})
}

// classicBeat is: classic-beat GROUP MEMBER [instance=…] [generation=…]
func (w *consumerWorld) classicBeat(a args) {
	m := w.member(a.words[1])
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID = 4, a.words[0], m.id, a.nullable("instance")
	req.Generation = int32(a.num("generation", int(m.generation)))
	w.shard.Do(func(fx coordlog.Effects, s *State) {
		s.Heartbeat(fx, Caller{}, req, func(r *kmsg.HeartbeatResponse) { w.printf("%s: %s\n", a.words[1], errcode.Name(r.ErrorCode)) })
	})
}

// classicLeave is: classic-leave GROUP [MEMBER…] [instances=…] [v=5]
func (w *consumerWorld) classicLeave(a args) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = int16(a.num("v", 5)), a.words[0]
	for _, name := range a.words[1:] {
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID = w.member(name).id
		req.Members = append(req.Members, m)
		req.MemberID = m.MemberID
	}
	for _, instance := range a.list("instances", "") {
		m := kmsg.NewLeaveGroupRequestMember()
		m.InstanceID = &instance
		req.Members = append(req.Members, m)
	}
	w.shard.Do(func(fx coordlog.Effects, s *State) {
		s.LeaveGroup(fx, Caller{}, req, func(r *kmsg.LeaveGroupResponse) {
			w.printf("%s", errcode.Name(r.ErrorCode))
			for _, m := range r.Members {
				w.printf(" %s", errcode.Name(m.ErrorCode))
			}
			w.printf("\n")
		})
	})
}

// commit is: commit GROUP MEMBER|- [epoch=…] [v=9] [txn=1] a:0 … | fetch GROUP MEMBER|- [epoch=…]
func (w *consumerWorld) commit(t *testing.T, command string, a args) {
	t.Helper()
	m := &scriptMember{epoch: -1}
	if a.words[1] != "-" {
		m = w.member(a.words[1])
	}
	epoch := int32(a.num("epoch", int(m.epoch)))
	g := w.shard.Machine.groups[a.words[0]]
	if command == "fetch" {
		id := &m.id
		if m.id == "" {
			id = nil
		}
		w.printf("%s\n", errcode.Name(errcode.Of(g.checkFetch(id, epoch))))
		return
	}
	check, err := g.checkCommit(commit{memberID: m.id, generation: epoch, version: int16(a.num("v", 9)), transactional: a.num("txn", 0) == 1})
	w.printf("%s", errcode.Name(errcode.Of(err)))
	if err == nil && check != nil {
		for _, word := range a.words[2:] {
			for _, topic := range w.parseOwned(t, m, word) {
				for _, p := range topic.Partitions {
					name := w.topicName(topic.TopicID)
					w.printf(" %s-%d=%s", name, p, errcode.Name(errcode.Of(check(name, topic.TopicID, p))))
				}
			}
		}
	}
	w.printf("\n")
}

func (w *consumerWorld) describe(groupID string) {
	w.shard.Do(func(fx coordlog.Effects, s *State) {
		s.ConsumerGroupDescribe(fx, 1, groupID, func(r kmsg.ConsumerGroupDescribeResponseGroup) {
			if r.ErrorCode != 0 {
				w.printf("%s: %s\n", errcode.Name(r.ErrorCode), *r.ErrorMessage)
				return
			}
			w.printf("%s epoch=%d assignment-epoch=%d assignor=%s\n", r.State, r.Epoch, r.AssignmentEpoch, r.AssignorName)
			for _, m := range r.Members {
				w.printf("  %s instance=%s rack=%s epoch=%d client=%s%s topics=%s regex=%q type=%d\n    assigned=%s target=%s\n",
					w.rename(m.MemberID, m.MemberID), or(m.InstanceID), or(m.RackID), m.MemberEpoch, m.ClientID, m.ClientHost,
					strings.Join(m.SubscribedTopics, ","), or(m.SubscribedTopicRegex), m.MemberType,
					w.showDescribed(m.Assignment), w.showDescribed(m.TargetAssignment))
			}
		})
	})
}

func (w *consumerWorld) showDescribed(a kmsg.Assignment) string {
	var out assignor.Assignment
	for _, t := range a.TopicPartitions {
		out = append(out, assignor.TopicPartitions{TopicID: t.TopicID, Partitions: t.Partitions})
	}
	return w.showAssignment(out)
}

// ask is: ask GROUP topic=…
func (w *consumerWorld) ask(a args) {
	g := w.shard.Machine.groups[a.words[0]]
	since, ok := g.expiry().since(7)
	w.printf("delete=%s offset-delete=%s subscribed=%t expires=%t/%d\n", errcode.Name(errcode.Of(g.checkDelete())),
		errcode.Name(errcode.Of(g.checkOffsetDelete())), g.subscribed(a.one("topic", "t")), ok, since)
}

func (w *consumerWorld) events(groupID string) {
	for _, e := range w.shard.Machine.Timeline(groupID) {
		w.printf("%s %s epoch=%d", e.Time.Sub(coordtest.Epoch), e.Kind, e.Epoch)
		if e.MemberID != "" {
			w.printf(" %s", w.rename(e.MemberID, e.MemberID))
		}
		if e.InstanceID != "" {
			w.printf(" instance=%s", e.InstanceID)
		}
		if e.Kind == RebalanceCompleted {
			w.printf(" took=%s", e.Took)
		}
		w.printf(" %s\n", e.Reason)
	}
}

// advance is: advance 45s. What happens is shown with when it does.
func (w *consumerWorld) advance(t *testing.T, a args) {
	t.Helper()
	d, err := time.ParseDuration(a.words[0])
	if err != nil {
		t.Fatal(err)
	}
	for d > 0 {
		step := min(d, 500*time.Millisecond)
		before := w.out.Len()
		w.shard.Advance(step)
		d -= step
		w.records(t)
		if after := w.out.String(); len(after) > before {
			w.out.Reset()
			w.out.WriteString(after[:before])
			w.printf("at %s:\n%s", w.shard.Now().Sub(coordtest.Epoch), after[before:])
		}
	}
}

// records prints the records that were appended since the last time.
func (w *consumerWorld) records(t *testing.T) {
	t.Helper()
	for ; w.seen < len(w.shard.Log); w.seen++ {
		if err := w.showRecord(w.shard.Log[w.seen]); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *consumerWorld) showRecord(r coordlog.Record) error {
	typ, err := schema.TypeOf(r.Key)
	if err != nil {
		return err
	}
	if r.Value == nil && typ != schema.OffsetCommit {
		k, err := schema.DecodeKey(r.Key)
		member := k.Member
		if member != "" {
			member = " " + w.rename(member, member)
		}
		w.printf("  - %s%s%s\n", typ, member, k.Regex)
		return err
	}
	switch typ {
	case schema.ConsumerGroupMetadata:
		v, err := schema.DecodeConsumerGroupMetadataValue(r.Value)
		if err == nil {
			w.printf("  + group epoch=%d hash=%x\n", v.Epoch, uint64(v.MetadataHash)>>48)
		}
		return err
	case schema.ConsumerGroupMemberMetadata:
		v, err := schema.DecodeConsumerGroupMemberMetadataValue(r.Value)
		if err == nil {
			w.showMember(r, v)
		}
		return err
	case schema.ConsumerGroupTargetAssignmentMetadata:
		v, err := schema.DecodeConsumerGroupTargetAssignmentMetadataValue(r.Value)
		if err == nil {
			at := "unknown"
			if v.AssignmentTimestampMillis != 0 {
				at = time.UnixMilli(v.AssignmentTimestampMillis).Sub(coordtest.Epoch).String()
			}
			w.printf("  + target epoch=%d at=%s\n", v.AssignmentEpoch, at)
		}
		return err
	case schema.ConsumerGroupTargetAssignmentMember:
		v, err := schema.DecodeConsumerGroupTargetAssignmentMemberValue(r.Value)
		if err == nil {
			w.printf("  + target of %s: %s\n", w.recordMember(r), w.showAssignment(asTarget(v.TopicPartitions)))
		}
		return err
	case schema.ConsumerGroupCurrentMemberAssignment:
		v, err := schema.DecodeConsumerGroupCurrentMemberAssignmentValue(r.Value)
		if err == nil {
			states := map[int8]string{0: "stable", 1: "unrevoked", 2: "unreleased"}
			w.printf("  + %s epoch=%d previous=%d %s assigned=%s revoking=%s\n", w.recordMember(r), v.MemberEpoch, v.PreviousMemberEpoch,
				states[v.State], w.showOwned(owned(v.AssignedPartitions, 0)), w.showOwned(owned(v.PartitionsPendingRevocation, 0)))
		}
		return err
	case schema.ConsumerGroupRegularExpression:
		k, _ := schema.DecodeKey(r.Key)
		v, err := schema.DecodeConsumerGroupRegularExpressionValue(r.Value)
		if err == nil {
			w.printf("  + pattern %s: %s version=%d at=%s\n", k.Regex, strings.Join(v.Topics, ","), v.Version,
				time.UnixMilli(v.TimestampMillis).Sub(coordtest.Epoch))
		}
		return err
	case schema.GroupMetadata:
		v, err := schema.DecodeGroupMetadataValue(r.Value)
		if err == nil {
			w.printf("  + classic group %s generation=%d protocol=%s", v.ProtocolType, v.Generation, or(v.Protocol))
			for i := range v.Members {
				given, _ := schema.DecodeAssignment(v.Members[i].Assignment)
				w.printf(" %s=%s", w.rename(v.Members[i].MemberID, v.Members[i].MemberID), w.showAssignment(assignmentByID(w.image, given.Topics)))
			}
			w.printf("\n")
		}
		return err
	default:
		w.printf("  + %s\n", typ)
		return nil
	}
}

func (w *consumerWorld) recordMember(r coordlog.Record) string {
	k, _ := schema.DecodeKey(r.Key)
	return w.rename(k.Member, k.Member)
}

func (w *consumerWorld) showMember(r coordlog.Record, v *schema.ConsumerGroupMemberMetadataValue) {
	w.printf("  + member %s", w.recordMember(r))
	for _, f := range []struct {
		name  string
		value *string
	}{{"instance", v.InstanceID}, {"rack", v.RackID}, {"regex", v.SubscribedTopicRegex}, {"assignor", v.ServerAssignor}} {
		if f.value != nil && *f.value != "" {
			w.printf(" %s=%s", f.name, *f.value)
		}
	}
	w.printf(" client=%s%s topics=%s rebalance=%d", v.ClientID, v.ClientHost, strings.Join(v.SubscribedTopicNames, ","), v.RebalanceTimeoutMillis)
	if v.Classic != nil {
		w.printf(" classic session=%d", v.Classic.SessionTimeoutMillis)
		for _, p := range v.Classic.SupportedProtocols {
			w.printf(" %s", p.Name)
		}
	}
	w.printf("\n")
}
