package group

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/kraft/image"
)

// inlineCost is how many partitions and subscriptions an assignor goes through on the shard's loop: for a millisecond or so. More
// than that is done on another goroutine.
const inlineCost = 20_000

// failedAssignmentDelay is how long a group waits after a target assignment that could not be written.
const failedAssignmentDelay = 10 * time.Second

// assignmentJob is a target assignment that is to be made. It may be run on any goroutine.
type assignmentJob struct {
	assignor  assignor.Assignor
	spec      assignor.Spec
	epoch     int32 // of the group that it is made for
	offloaded bool  // it may run on another goroutine
}

// run makes the assignment, for each member of the spec.
func (j *assignmentJob) run() []assignor.Assignment { return j.assignor.Assign(j.spec) }

// costly reports whether it is better run on another goroutine.
func (j *assignmentJob) costly() bool {
	if !j.offloaded {
		return false
	}
	cost := len(j.spec.Members)
	for _, t := range j.spec.Topics {
		cost += int(t.Partitions)
	}
	for i := range j.spec.Members {
		cost += len(j.spec.Members[i].Topics)
	}
	return cost > inlineCost
}

// target returns what was made for a member.
func (j *assignmentJob) target(targets []assignor.Assignment, memberID string) assignor.Assignment {
	i, found := slices.BinarySearchFunc(j.spec.Members, memberID, func(m assignor.Member, id string) int { return strings.Compare(m.ID, id) })
	if !found {
		return nil
	}
	return targets[i]
}

// records are the records that make the assignment that of the group as it was when the job was made.
func (j *assignmentJob) records(groupID string, targets []assignor.Assignment, now time.Time) []coordlog.Record {
	out := make([]coordlog.Record, 0, len(targets)+1)
	for i, target := range targets {
		if m := &j.spec.Members[i]; m.Target == nil || !m.Target.Equal(target) {
			out = append(out, targetRecord(groupID, m.ID, target))
		}
	}
	return append(out, targetEpochRecord(groupID, j.epoch, now.UnixMilli()))
}

// lateRecords are the records that make the assignment that of a group which may have changed meanwhile. Members that have gone get
// nothing; what was made for a static member, the one that took its place gets.
func (j *assignmentJob) lateRecords(g *consumerGroup, targets []assignor.Assignment, now time.Time) []coordlog.Record {
	var out []coordlog.Record
	for i, target := range targets {
		m := &j.spec.Members[i]
		id := m.ID
		if g.members[id] == nil && m.InstanceID != "" {
			id = g.static[m.InstanceID]
		}
		if g.members[id] == nil {
			continue
		}
		if known := g.targets[id]; known == nil || !known.Equal(target) {
			out = append(out, targetRecord(g.groupID, id, target))
		}
	}
	return append(out, targetEpochRecord(g.groupID, j.epoch, now.UnixMilli()))
}

// targetOf returns the target of a member, or of the static member whose place it takes.
func (g *consumerGroup) targetOf(m *consumerMember) assignor.Assignment {
	if m.isStatic() {
		return g.targets[g.static[*m.instanceID]]
	}
	return g.targets[m.id]
}

// assignment returns the target assignment that is to be made when one value of a member has taken the place of another (both nil:
// the members stay what they are); nil if none is to be made now.
//
// Case A: the group epoch has not risen since the last one was made.
//
// Case B: one is being made.
//
// Case C: the last one is too recent. Until some time has passed, changes are gathered (KIP-1263).
func (o *consumerOp) assignment(old, m *consumerMember) *assignmentJob {
	g := o.g
	if g.assignmentEpoch >= o.epoch || g.assigning || o.fx.Now().Before(o.nextAssignment()) { // Cases A, B and C
		return nil
	}
	a, ok := assignor.ByName(o.preferredAssignor(old, m))
	if !ok {
		a, _ = assignor.ByName(assignor.Uniform{}.Name()) // a record says what this broker does not have
	}
	return &assignmentJob{
		assignor: a, spec: o.spec(old, m), epoch: o.epoch,
		offloaded: o.s.env.GroupSettings(g.groupID).AssignorOffload,
	}
}

// nextAssignment is when the next target assignment may be made.
func (o *consumerOp) nextAssignment() time.Time {
	interval := o.s.env.GroupSettings(o.g.groupID).AssignmentInterval
	if o.g.assignmentTimestamp == 0 || interval == 0 {
		return o.g.notBefore
	}
	return later(time.UnixMilli(o.g.assignmentTimestamp).Add(interval), o.g.notBefore)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// preferredAssignor is the assignor that most members want; where nobody wants any, the broker's first. Between equals it is the one
// that comes first in Kafka's map, which is uniform.
func (o *consumerOp) preferredAssignor(old, m *consumerMember) string {
	counts := o.g.assignors
	if old != m && (old == nil || m == nil || !equalPointers(old.assignor, m.assignor)) {
		counts = maps.Clone(counts)
		if old != nil && old.assignor != nil {
			countName(counts, *old.assignor, -1)
		}
		if m != nil && m.assignor != nil {
			countName(counts, *m.assignor, 1)
		}
	}
	best := ""
	for name, n := range counts {
		if n > counts[best] || n == counts[best] && name == (assignor.Uniform{}).Name() {
			best = name
		}
	}
	if best == "" {
		best = o.s.env.Settings().Assignors[0]
	}
	return best
}

// spec describes the group to an assignor.
func (o *consumerOp) spec(old, m *consumerMember) assignor.Spec {
	g, img := o.g, o.s.env.Image()
	topics := g.topicsAfter(old, m)
	spec := assignor.Spec{Topics: specTopics(img, topics)}
	members := g.membersAfter(m)
	spec.Homogeneous = homogeneous(topics, regexesAfter(g.regexes, old, m), len(members))
	index := make(map[string]int32, len(spec.Topics))
	if !spec.Homogeneous {
		for i, t := range spec.Topics {
			index[img.TopicNames.Get(t.ID)] = int32(i)
		}
	}
	spec.Members = make([]assignor.Member, len(members))
	for i, member := range members {
		spec.Members[i] = assignor.Member{ID: member.id, Target: g.targetOf(member)}
		if member.isStatic() {
			spec.Members[i].InstanceID = *member.instanceID
		}
		if !spec.Homogeneous {
			spec.Members[i].Topics = g.subscription(member, index)
		}
	}
	return spec
}

// specTopics returns the topics that exist, in the order of their ids.
func specTopics(img *image.Image, names map[string]subscribers) []assignor.Topic {
	out := make([]assignor.Topic, 0, len(names))
	for name := range names {
		if t := img.Topic(name); t != nil {
			out = append(out, assignor.Topic{ID: t.ID, Partitions: int32(len(t.Partitions))})
		}
	}
	slices.SortFunc(out, func(a, b assignor.Topic) int { return assignor.CompareIDs(a.ID, b.ID) })
	return out
}

// membersAfter returns the members in the order of their ids, with m among them. A static member whose place it takes is not.
func (g *consumerGroup) membersAfter(m *consumerMember) []*consumerMember {
	out := make([]*consumerMember, 0, len(g.members)+1)
	for id, member := range g.members {
		if m != nil && (id == m.id || m.isStatic() && equalPointers(member.instanceID, m.instanceID)) {
			continue
		}
		out = append(out, member)
	}
	if m != nil {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *consumerMember) int { return strings.Compare(a.id, b.id) })
	return out
}

// regexesAfter counts the members of each pattern when one value of a member has taken the place of another.
func regexesAfter(regexes map[string]int, old, m *consumerMember) map[string]int {
	if old == m || old != nil && m != nil && equalPointers(old.regex, m.regex) {
		return regexes
	}
	regexes = maps.Clone(regexes)
	if old != nil && old.hasRegex() {
		countName(regexes, *old.regex, -1)
	}
	if m != nil && m.hasRegex() {
		countName(regexes, *m.regex, 1)
	}
	return regexes
}

// subscription returns the topics of a member, as indexes of the spec's.
func (g *consumerGroup) subscription(m *consumerMember, index map[string]int32) []int32 {
	names := [][]string{m.topics}
	if m.hasRegex() {
		if r := g.resolved[*m.regex]; r != nil {
			names = append(names, r.topics)
		}
	}
	out := make([]int32, 0, len(names[0]))
	for _, list := range names {
		for _, name := range list {
			if i, ok := index[name]; ok {
				out = append(out, i)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// assignInBackground makes a target assignment on another goroutine, and then goes on.
func (o *consumerOp) assignInBackground(job *assignmentJob, then func(o *consumerOp)) {
	s, g := o.s, o.g
	g.assigning = true
	o.fx.Go(func() func(coordlog.Effects) {
		targets := job.run()
		return func(fx coordlog.Effects) {
			g.assigning = false
			o := s.consumer(fx, g)
			if s.groups[g.groupID] == group(g) {
				o.install(job.lateRecords(g, targets, fx.Now()))
			}
			then(o)
		}
	})
}

// install makes a target assignment the group's. One that cannot be written, since it is too large for a batch, is not made again
// for some time.
func (o *consumerOp) install(records []coordlog.Record) {
	o.add(records...)
	if err := o.commit(); err != nil {
		o.logger().Error("a target assignment could not be written", slog.Any("err", err))
		o.records = nil
		o.g.notBefore = o.fx.Now().Add(failedAssignmentDelay)
	}
}

// assignLater sees to it that a target assignment is made without any member asking: when changes are gathered, once that is over;
// and when there are members of the classic protocol, whose heartbeats do not ask, after the time in which one of the consumer
// protocol would have. Else the next heartbeat does it, as in Kafka.
func (o *consumerOp) assignLater() {
	g := o.g
	if g.epoch <= g.assignmentEpoch || g.empty() || g.assigning || g.assignArmed {
		return
	}
	at, now := o.nextAssignment(), o.fx.Now()
	switch {
	case at.After(now):
	case g.classicMembers > 0:
		at = now.Add(o.s.env.GroupSettings(g.groupID).HeartbeatInterval)
	default:
		return
	}
	g.assignArmed = true
	o.fx.SetTimer(g.assignTimer(), at, o.s.later(g, func(o *consumerOp) {
		o.g.assignArmed = false
		o.assignNow()
	}))
}

// assignNow makes the target assignment if it is due.
func (o *consumerOp) assignNow() {
	if o.g.empty() {
		return
	}
	job := o.assignment(nil, nil)
	if job == nil {
		o.assignLater()
		return
	}
	if job.costly() {
		o.assignInBackground(job, func(*consumerOp) {})
		return
	}
	o.install(job.records(o.g.groupID, job.run(), o.fx.Now()))
}
