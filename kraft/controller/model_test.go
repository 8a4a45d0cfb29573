package controller_test

import (
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/controller"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

var modelSeeds = flag.Int("model-seeds", 100, "how many random clusters TestModel plays")

// The model is a cluster of brokers that copy, acknowledge, crash and come back as the protocol allows, around the real
// decisions of the controller. It knows which records were acknowledged and what every replica's disk holds, so it can tell
// whether a leader that begins to act has everything (I5), whether two leaders ever acknowledge different records (I11),
// whether a follower ever has to cut below its high watermark without an unclean election to explain it (I8), and that every cluster
// heals.

// record is one record of a log: who wrote it in which leader epoch.
type record struct {
	epoch int32
	id    int
}

// replicaLog is what a broker's disk holds of a partition.
type replicaLog struct {
	records       []record
	synced        int   // what survives a crash at least
	highWatermark int   // as its leaders told, and as it had it when it led; it survives a crash
	agreed        int32 // the newest leader epoch in which it was found to have nothing that its leader did not have
}

// lastEpoch is the newest leader epoch that a replica knows.
func (l *replicaLog) lastEpoch() int32 {
	if n := len(l.records); n > 0 {
		return max(l.agreed, l.records[n-1].epoch)
	}
	return l.agreed
}

// overtaken says whether an unclean election made void what a follower knows to be committed (package replica).
func (l *replicaLog) overtaken(p *image.Partition) bool {
	return p.UncleanEpoch > 0 && l.lastEpoch() < p.UncleanEpoch
}

// leading is what a broker knows while it leads a partition.
type leading struct {
	epoch, partitionEpoch int32
	isr                   []protocol.NodeID // as the controller last said
	proposed              []protocol.NodeID // asked for and not answered; nil: nothing
	start                 int               // end of the log when it began to lead
	highWatermark         int
	ends                  map[protocol.NodeID]int
	brokerEpochs          map[protocol.NodeID]int64
}

type modelBroker struct {
	id          protocol.NodeID
	alive       bool
	stopping    bool // it asked to stop, and goes on asking
	incarnation byte
	epoch       int64 // of its registration; 0: not registered in this life
	mark        int64 // the epoch that a clean stop left behind; -1: none
	dir         byte
	image       *image.Image // as far as it has applied
	logs        map[modelKey]*replicaLog
	damaged     map[modelKey]bool // a batch cannot be read: the replica waits to be copied anew
	leads       map[modelKey]*leading
}

type modelKey struct {
	topic     string
	partition int
}

type model struct {
	*rand.Rand
	s         *controller.Script
	durable   bool
	elr       bool
	wipes     bool // a disk may be lost
	wiped     bool // one was, since the cluster was last whole
	unclean   bool // unclean elections are asked for
	brokers   []*modelBroker
	committed map[modelKey][]record
	lossy     map[modelKey]bool // an unclean election was told of: what was acknowledged before may be gone
	next      int
	healing   bool // nothing goes wrong any more
	tracing   bool
	trace     []string
}

func TestModel(t *testing.T) {
	for seed := range *modelSeeds {
		if playModel(uint64(seed), false) != nil {
			t.Fatalf("seed %d: %v", seed, playModel(uint64(seed), true)) // the same again, with what led to it
		}
	}
}

func playModel(seed uint64, tracing bool) (err error) {
	m := newModel(seed)
	m.tracing = tracing
	defer func() {
		if r := recover(); r != nil {
			trace := m.trace[max(0, len(m.trace)-60):]
			err = fmt.Errorf("%v\n%s\n%s", r, strings.Join(trace, "\n"), formatImage(m.s.Image()))
		}
	}()
	m.begin()
	for range 4 {
		for range 120 {
			m.step()
			m.check()
		}
		m.heal()
		m.check()
	}
	return nil
}

func newModel(seed uint64) *model {
	m := &model{
		Rand:      rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // a seed has to lead to the same run
		committed: make(map[modelKey][]record), lossy: make(map[modelKey]bool),
	}
	m.durable = m.IntN(3) > 0
	m.elr = !m.durable || m.IntN(4) > 0
	m.wipes = m.durable && m.elr && m.IntN(2) == 0
	m.unclean = m.IntN(3) == 0
	m.s = controller.NewScript(controller.Options{
		NodeID: 100, Schema: schema{}, Logger: slog.New(slog.DiscardHandler),
		Features: map[string]image.FeatureRange{"metadata.version": {Min: 7, Max: 33}, "eligible.leader.replicas.version": {Min: 0, Max: 1}},
	}, "cluster")
	return m
}

func (m *model) fail(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (m *model) note(format string, args ...any) {
	if m.tracing {
		m.trace = append(m.trace, fmt.Sprintf(format, args...))
	}
}

func (m *model) noteDecision(what string, resp kmsg.Response, records []metadata.Record) {
	if m.tracing {
		m.note("%s: %s%s", what, formatResponse(resp), formatRecords(m.s, records))
	}
}

// request has the controller decide, and notes what it led to.
func (m *model) request(what string, req kmsg.Request) kmsg.Response {
	resp, records, err := m.s.Request(req)
	if err != nil {
		m.fail("%s: %v", what, err)
	}
	m.noteDecision(what, resp, records)
	m.watch(records)
	return resp
}

// watch notes unclean elections that the controller owned up to.
func (m *model) watch(records []metadata.Record) {
	for _, r := range records {
		if c, ok := r.(*metadata.PartitionChangeRecord); ok && c.LeaderRecoveryState != nil && *c.LeaderRecoveryState == 1 {
			key := modelKey{m.s.Image().TopicNames.Get(c.TopicID), int(c.Partition)}
			if m.durable && !m.unclean {
				m.fail("%v: an unclean election where everything was synced", key)
			}
			m.lossy[key] = true
		}
	}
}

func (m *model) begin() {
	if m.elr {
		m.request("feature", featureRequest("feature / eligible.leader.replicas.version level=1", args{}))
	}
	for id := range 5 {
		b := &modelBroker{id: protocol.NodeID(id + 1), mark: -1, dir: byte(10 * (id + 1)), logs: make(map[modelKey]*replicaLog), damaged: make(map[modelKey]bool)}
		b.dir += 100
		m.brokers = append(m.brokers, b)
		m.start(b)
		m.apply(b)
		m.beat(b, false)
	}
	flush := " config=flush.messages:1"
	if !m.durable {
		flush = " config=flush.messages:10000"
	}
	line := "create / two assign=0:1,2,3 assign=1:2,3,4 assign=2:5,4,1 config=min.insync.replicas:2" + flush
	if !m.wipes { // they keep too few copies for that
		line += " / one assign=0:3,4,5 config=min.insync.replicas:1" + flush + " / alone assign=0:2" + flush
	}
	for _, t := range m.request(line, createRequest(line, args{})).(*kmsg.CreateTopicsResponse).Topics {
		if t.ErrorCode != 0 {
			m.fail("create %s: %s", t.Topic, errcode.Name(t.ErrorCode))
		}
	}
}

// partitions calls f with each partition of an image.
func partitions(img *image.Image, f func(key modelKey, p *image.Partition)) {
	for _, name := range slices.Sorted(img.Topics.Keys()) {
		for i := range img.Topics.Get(name).Partitions {
			f(modelKey{name, i}, &img.Topics.Get(name).Partitions[i])
		}
	}
}

func (m *model) any() *modelBroker { return m.brokers[m.IntN(len(m.brokers))] }

func (m *model) step() {
	m.s.Now = m.s.Now.Add(time.Duration(m.IntN(300)) * time.Millisecond)
	b := m.any()
	switch n := m.IntN(100); {
	case n < 30:
		m.copyAll(b)
	case n < 45:
		m.produce(b)
	case n < 57:
		m.apply(b)
	case n < 65:
		m.beat(b, false)
	case n < 75:
		m.alterISRs(b)
	case n < 78:
		m.crash(b)
	case n < 80: // back before anybody has missed it
		m.crash(b)
		m.start(b)
		m.apply(b)
		m.beat(b, false)
		leader := m.any()
		m.apply(leader)
		m.alterISRs(leader)
	case n < 84 && !b.alive:
		m.start(b)
	case n < 87:
		m.beat(b, true)
	case n < 89:
		m.lose(b)
	case n < 91:
		m.expire()
	case n < 93:
		m.request("elect", electRequest("elect", args{}))
	case n < 94 && m.unclean:
		m.request("elect unclean", electRequest("elect", args{"kind": {"1"}}))
	case n < 97:
		m.reassign()
	case n < 98:
		for _, b := range m.brokers {
			m.crash(b)
		}
	case n < 99 && m.wipes && m.IntN(2) == 0:
		m.damage(b)
		m.apply(b)
		m.assignDirs(b)
		for _, leader := range m.brokers { // before it has fetched again
			m.apply(leader)
			m.alterISRs(leader)
		}
	case n < 99 && m.wipes:
		m.wipe(b)
	case n < 99:
		line := fmt.Sprintf("config / topic:two min.insync.replicas=%d", 1+m.IntN(3))
		m.request(line, configRequest(line, args{}))
	default:
		m.assignDirs(b)
	}
}

// start begins a new life of a broker's process and registers it, unless its predecessor's session still counts.
func (m *model) start(b *modelBroker) {
	if b.alive {
		return
	}
	b.alive, b.stopping, b.epoch, b.image, b.leads = true, false, 0, m.s.Image(), make(map[modelKey]*leading)
	b.incarnation++
	m.register(b)
}

func (m *model) register(b *modelBroker) {
	m.lose(b) // the controller asks at the old address
	resp := m.request(fmt.Sprintf("register %d/%d", b.id, b.incarnation), registerRequest(args{
		"id": {fmt.Sprint(b.id)}, "incarnation": {fmt.Sprint(b.incarnation)}, "dir": {fmt.Sprint(b.dir)}, "previous": {fmt.Sprint(b.mark)},
	})).(*kmsg.BrokerRegistrationResponse)
	if resp.ErrorCode == 0 {
		b.epoch, b.mark = resp.BrokerEpoch, -1
	}
}

// crash ends a broker's process. Of what was not synced any part may be gone.
func (m *model) crash(b *modelBroker) {
	if !b.alive {
		return
	}
	b.alive = false
	for _, key := range slices.SortedFunc(maps.Keys(b.logs), compareKeys) {
		l := b.logs[key]
		l.records = l.records[:l.synced+m.IntN(len(l.records)-l.synced+1)]
		l.synced = len(l.records)
		l.highWatermark, l.agreed = min(l.highWatermark, len(l.records)), 0
	}
	m.note("crash %d", b.id)
}

func compareKeys(a, b modelKey) int {
	return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
}

// wipe gives a dead broker an empty disk.
func (m *model) wipe(b *modelBroker) {
	if b.alive || m.wiped {
		return
	}
	m.wiped = true
	b.dir++
	b.mark = -1
	clear(b.logs)
	clear(b.damaged)
	m.note("wipe %d", b.id)
}

// damage makes a batch of a replica unreadable, of which others are in sync (package replica, repair).
func (m *model) damage(b *modelBroker) {
	if !b.alive || b.epoch == 0 || m.wiped {
		return
	}
	partitions(m.s.Image(), func(key modelKey, p *image.Partition) {
		others := slices.ContainsFunc(p.ISR, func(id protocol.NodeID) bool { return id != b.id })
		if !m.wiped && slices.Contains(p.Replicas, b.id) && others && m.IntN(3) == 0 {
			m.wiped, b.damaged[key] = true, true
			m.note("damage %d %v", b.id, key)
			m.assignDir(b, key, lostDir)
		}
	})
}

const lostDir = 2

// repair begins anew where nothing depends on a damaged replica any more, and else tells of it, again.
func (m *model) repair(b *modelBroker, key modelKey, p *image.Partition, dir byte) {
	switch {
	case dir != lostDir:
		m.assignDir(b, key, lostDir)
	case p.Leader != image.NoLeader && p.Leader != b.id && !slices.Contains(p.ISR, b.id):
		m.note("repair %d %v", b.id, key)
		delete(b.logs, key)
		delete(b.damaged, key)
		m.assignDir(b, key, b.dir)
	}
}

// lose is what a broken session connection leads to once the controller has dialled back.
func (m *model) lose(b *modelBroker) {
	r := m.s.Image().Brokers[b.id]
	if r == nil || b.alive && r.IncarnationID[15] == b.incarnation {
		return
	}
	records, err := m.s.Lost(b.id, r.IncarnationID)
	if err != nil {
		m.fail("lost session of %d: %v", b.id, err)
	}
	m.noteDecision(fmt.Sprintf("lost %d", b.id), nil, records)
	m.watch(records)
}

// expire lets the sessions of everybody who is not heard of run out; some of those alive are heard of.
func (m *model) expire() {
	for range 3 {
		m.s.Now = m.s.Now.Add(4 * time.Second)
		for _, b := range m.brokers {
			if m.IntN(4) > 0 {
				m.beat(b, false)
			}
		}
		records, err := m.s.Expire()
		if err != nil {
			m.fail("expire: %v", err)
		}
		m.noteDecision("expire", nil, records)
		m.watch(records)
	}
}

// beat sends a heartbeat; one that wants to stop ends the process once the controller agrees.
func (m *model) beat(b *modelBroker, stop bool) {
	if !b.alive {
		return
	}
	if b.epoch == 0 {
		m.register(b)
		return
	}
	r := heartbeatRequest(m.s, args{"id": {fmt.Sprint(b.id)}, "epoch": {fmt.Sprint(b.epoch)}}).(*kmsg.BrokerHeartbeatRequest)
	b.stopping = b.stopping || stop
	r.WantShutdown = b.stopping
	r.CurrentMetadataOffset = b.image.Version
	resp := m.request(fmt.Sprintf("heartbeat %d stop=%v", b.id, stop), r).(*kmsg.BrokerHeartbeatResponse)
	if resp.ShouldShutdown {
		b.alive, b.mark = false, b.epoch
		for _, l := range b.logs {
			l.synced = len(l.records)
		}
		m.note("stopped %d cleanly", b.id)
	}
}

// apply takes a broker to the newest metadata.
func (m *model) apply(b *modelBroker) {
	if !b.alive {
		return
	}
	b.image = m.s.Image()
	partitions(b.image, func(key modelKey, p *image.Partition) {
		if p.Leader != b.id || int64(b.image.Brokers[b.id].Epoch) != b.epoch {
			delete(b.leads, key)
			return
		}
		l := b.leads[key]
		if l == nil || l.epoch != p.LeaderEpoch {
			b.leads[key] = m.lead(b, key, p)
		} else if p.PartitionEpoch > l.partitionEpoch {
			l.partitionEpoch, l.isr, l.proposed = p.PartitionEpoch, p.ISR, nil
		}
	})
}

func (b *modelBroker) log(key modelKey) *replicaLog {
	if b.logs[key] == nil {
		b.logs[key] = &replicaLog{}
	}
	return b.logs[key]
}

// lead begins to lead: it must hold everything that was acknowledged (I5).
func (m *model) lead(b *modelBroker, key modelKey, p *image.Partition) *leading {
	log := b.log(key)
	if m.lossy[key] { // told of: begin to count again with what is there
		m.committed[key] = nil
		m.lossy[key] = false
	}
	m.holds(b, key, "leads")
	m.note("%d leads %v with %d records", b.id, key, len(log.records))
	return &leading{
		epoch: p.LeaderEpoch, partitionEpoch: p.PartitionEpoch, isr: p.ISR, start: len(log.records), highWatermark: log.highWatermark,
		ends: make(map[protocol.NodeID]int), brokerEpochs: make(map[protocol.NodeID]int64),
	}
}

func (m *model) holds(b *modelBroker, key modelKey, why string) {
	log, committed := b.log(key).records, m.committed[key]
	if len(log) < len(committed) || !slices.Equal(log[:len(committed)], committed) {
		m.fail("%v: broker %d %s with %v, acknowledged was %v", key, b.id, why, log, committed)
	}
}

func (m *model) produce(b *modelBroker) {
	for _, key := range slices.SortedFunc(maps.Keys(b.leads), compareKeys) {
		if !b.alive {
			return
		}
		log := b.log(key)
		m.next++
		log.records = append(slices.Clip(log.records), record{b.leads[key].epoch, m.next})
		m.sync(log)
		m.advance(b, key)
	}
}

// sync makes a log durable: at once, or some time.
func (m *model) sync(log *replicaLog) {
	if m.durable || m.IntN(8) == 0 {
		log.synced = len(log.records)
	}
}

// copyAll has a broker fetch what it follows.
func (m *model) copyAll(b *modelBroker) {
	if !b.alive || b.epoch == 0 {
		return
	}
	partitions(b.image, func(key modelKey, p *image.Partition) {
		if p.Leader == b.id || p.Leader == image.NoLeader || !slices.Contains(p.Replicas, b.id) {
			return
		}
		if b.damaged[key] {
			return // it is not followed
		}
		leader := m.brokers[p.Leader-1]
		l := leader.leads[key]
		if !leader.alive || l == nil || l.epoch != p.LeaderEpoch {
			return
		}
		from, to := leader.log(key), b.log(key)
		same := 0
		for same < len(from.records) && same < len(to.records) && from.records[same] == to.records[same] {
			same++
		}
		m.truncates(b, key, p, to, same)
		to.records = append(slices.Clip(to.records[:same]), from.records[same:min(len(from.records), same+1+m.IntN(3))]...)
		to.synced = min(to.synced, len(to.records))
		m.sync(to)
		l.ends[b.id], l.brokerEpochs[b.id] = len(to.records), b.epoch
		m.advance(leader, key)
		to.agreed, to.highWatermark = l.epoch, max(to.highWatermark, min(l.highWatermark, len(to.records)))
	})
}

// truncates has a follower agree with its leader up to a length: it must not cut below its high watermark, which it forgets where an
// unclean election came after all that it knows (I8).
func (m *model) truncates(b *modelBroker, key modelKey, p *image.Partition, log *replicaLog, length int) {
	if log.overtaken(p) {
		log.highWatermark = 0
	}
	if length < log.highWatermark {
		m.fail("%v: broker %d, which knows leader epoch %d, would have to cut %v to %d, below its high watermark %d: %s",
			key, b.id, log.lastEpoch(), log.records, length, log.highWatermark, formatPartition(p))
	}
}

// advance moves a leader's high watermark over what the maximal ISR has (I9), and counts that as acknowledged.
func (m *model) advance(b *modelBroker, key modelKey) {
	l, log := b.leads[key], b.log(key)
	p := b.image.Partition(protocol.TopicPartition{Topic: key.topic, Partition: int32(key.partition)})
	policy := schema{}.TopicPolicy(b.image.Configs[image.Resource{Type: image.ResourceTopic, Name: key.topic}], nil, nil)
	if len(l.isr) < min(policy.MinISR, len(p.Replicas)) {
		return
	}
	end := len(log.records)
	for _, id := range append(slices.Clone(l.isr), l.proposed...) {
		if id != b.id {
			end = min(end, l.ends[id])
		}
	}
	if end <= l.highWatermark {
		return
	}
	l.highWatermark = end
	log.highWatermark = max(log.highWatermark, end)
	now := m.s.Image().Partition(protocol.TopicPartition{Topic: key.topic, Partition: int32(key.partition)})
	if m.lossy[key] || l.epoch < now.UncleanEpoch {
		return // somebody else was elected uncleanly; what this one still acknowledges was given up
	}
	committed := m.committed[key]
	if n := min(end, len(committed)); !slices.Equal(log.records[:n], committed[:n]) {
		m.fail("%v: broker %d acknowledges %v, acknowledged was %v", key, b.id, log.records[:end], committed)
	}
	if end > len(committed) {
		m.committed[key] = slices.Clone(log.records[:end])
	}
}

// alterISRs has a leader propose other ISRs. The answer may get lost.
func (m *model) alterISRs(b *modelBroker) {
	if !b.alive {
		return
	}
	for _, key := range slices.SortedFunc(maps.Keys(b.leads), compareKeys) {
		l := b.leads[key]
		if l.proposed != nil {
			continue
		}
		p := b.image.Partition(protocol.TopicPartition{Topic: key.topic, Partition: int32(key.partition)})
		want := []protocol.NodeID{b.id}
		for _, id := range p.Replicas {
			inSync := l.brokerEpochs[id] != 0 && l.ends[id] >= l.highWatermark && l.ends[id] >= l.start
			if id != b.id && (slices.Contains(l.isr, id) && m.keeps(4) || inSync && m.keeps(2)) {
				want = append(want, id)
			}
		}
		if !slices.Equal(want, l.isr) || p.LeaderRecoveryState == 1 {
			m.alterISR(b, key, l, want)
		}
	}
}

// keeps is whether all goes well this time, as it does in all but one of n times.
func (m *model) keeps(n int) bool { return m.healing || m.IntN(n) > 0 }

func (m *model) alterISR(b *modelBroker, key modelKey, l *leading, want []protocol.NodeID) {
	r := kmsg.NewPtrAlterPartitionRequest()
	r.Version, r.BrokerID, r.BrokerEpoch = 3, int32(b.id), b.epoch
	rt := kmsg.NewAlterPartitionRequestTopic()
	rt.TopicID = b.image.Topics.Get(key.topic).ID
	rp := kmsg.NewAlterPartitionRequestTopicPartition()
	rp.Partition, rp.LeaderEpoch, rp.PartitionEpoch = int32(key.partition), l.epoch, l.partitionEpoch
	for _, id := range want {
		member := kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
		member.BrokerID, member.BrokerEpoch = int32(id), l.brokerEpochs[id]
		if id == b.id {
			member.BrokerEpoch = b.epoch
		} else if l.brokerEpochs[id] == 0 {
			member.BrokerEpoch = -1
		}
		rp.NewEpochISR = append(rp.NewEpochISR, member)
	}
	rt.Partitions = append(rt.Partitions, rp)
	r.Topics = append(r.Topics, rt)
	l.proposed = want
	resp := m.request(fmt.Sprintf("%d proposes %v for %v", b.id, want, key), r).(*kmsg.AlterPartitionResponse)
	if !m.keeps(4) {
		return // lost: until the metadata tells, both count
	}
	if resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		if resp.ErrorCode == 0 && resp.Topics[0].Partitions[0].ErrorCode == int16(errcode.KindIneligibleReplica) {
			l.proposed = nil
		}
		return
	}
	out := resp.Topics[0].Partitions[0]
	l.partitionEpoch, l.isr, l.proposed = out.PartitionEpoch, nodes(out.ISR), nil
	m.advance(b, key)
}

func nodes(ids []int32) []protocol.NodeID {
	out := make([]protocol.NodeID, len(ids))
	for i, id := range ids {
		out[i] = protocol.NodeID(id)
	}
	return out
}

// reassign gives a partition other replicas, or calls that off.
func (m *model) reassign() {
	line := fmt.Sprintf("reassign / two:%d", m.IntN(3))
	if m.IntN(4) > 0 {
		to := m.Perm(len(m.brokers))[:3]
		line += fmt.Sprintf(" to=%d,%d,%d", to[0]+1, to[1]+1, to[2]+1)
	}
	m.request(line, reassignRequest(line, args{}))
}

// assignDirs has a broker tell where its replicas lie.
func (m *model) assignDirs(b *modelBroker) {
	if !b.alive || b.epoch == 0 {
		return
	}
	partitions(b.image, func(key modelKey, p *image.Partition) {
		at := slices.Index(p.Replicas, b.id)
		switch {
		case at < 0:
			delete(b.damaged, key)
		case b.damaged[key]:
			m.repair(b, key, p, p.Directories[at][15])
		case p.Directories[at][15] != b.dir:
			m.assignDir(b, key, b.dir)
		}
	})
}

func (m *model) assignDir(b *modelBroker, key modelKey, dir byte) {
	line := fmt.Sprintf("assign-dirs id=%d epoch=%d / %s:%d dir=%d", b.id, b.epoch, key.topic, key.partition, dir)
	m.request(line, assignDirsRequest(m.s, line, args{"id": {fmt.Sprint(b.id)}, "epoch": {fmt.Sprint(b.epoch)}}))
}

// check checks what must hold at any time.
func (m *model) check() {
	img := m.s.Image()
	partitions(img, func(key modelKey, p *image.Partition) {
		policy := schema{}.TopicPolicy(img.Configs[image.Resource{Type: image.ResourceTopic, Name: key.topic}], nil, nil)
		minISR := min(policy.MinISR, len(p.Replicas))
		all := slices.Concat(p.ISR, p.ELR, p.LastKnownELR)
		switch {
		case p.Leader != image.NoLeader && !slices.Contains(p.ISR, p.Leader):
			m.fail("%v: the leader is not in the ISR: %s", key, formatPartition(p))
		case len(all) == 0:
			m.fail("%v: nobody is known to have it: %s", key, formatPartition(p))
		case len(p.ISR) >= minISR && len(p.ELR)+len(p.LastKnownELR) > 0:
			m.fail("%v: an ELR beside a full ISR: %s", key, formatPartition(p))
		case !m.elr && (len(p.ISR) == 0 || len(p.ELR)+len(p.LastKnownELR) > 0):
			m.fail("%v: an empty ISR, or an ELR, without the feature: %s", key, formatPartition(p))
		case len(p.Directories) != len(p.Replicas):
			m.fail("%v: directories: %s", key, formatPartition(p))
		}
		for _, id := range all {
			if !slices.Contains(p.Replicas, id) {
				m.fail("%v: %d is no replica: %s", key, id, formatPartition(p))
			}
		}
		in := slices.Concat(p.ISR, p.ELR)
		slices.Sort(in)
		if len(slices.Compact(slices.Clone(in))) != len(in) {
			m.fail("%v: twice in ISR and ELR: %s", key, formatPartition(p))
		}
		// I10: whoever is in either, and lives under the registration that this rests on, has everything.
		for _, id := range in {
			if b := m.brokers[id-1]; b.alive && b.epoch == int64(img.Brokers[id].Epoch) && !m.lossy[key] {
				m.holds(b, key, "is in sync")
			}
		}
	})
}

// heal brings everybody back. The cluster must become whole by itself, with everything that was acknowledged.
func (m *model) heal() {
	m.note("heal")
	m.healing = true
	defer func() { m.healing = false }()
	for i := range 40 {
		m.s.Now = m.s.Now.Add(500 * time.Millisecond)
		if m.unclean && i == 20 { // the last copy may have been wiped
			m.request("elect unclean", electRequest("elect", args{"kind": {"1"}}))
		}
		for _, b := range m.brokers {
			m.start(b)
			m.lose(b)
			m.apply(b)
			m.beat(b, false)
			m.apply(b)
			m.assignDirs(b)
			m.copyAll(b)
			for _, l := range b.leads {
				l.proposed = nil // it has applied what came of it
			}
			m.alterISRs(b)
		}
	}
	partitions(m.s.Image(), func(key modelKey, p *image.Partition) {
		if p.Leader == image.NoLeader || len(p.ISR) < len(p.Replicas) || len(p.Adding)+len(p.Removing) > 0 {
			m.fail("%v does not heal: %s", key, formatPartition(p))
		}
		m.holds(m.brokers[p.Leader-1], key, "leads after all")
	})
	m.wiped = false
}
