package controller

import (
	"slices"
	"strconv"
	"strings"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// EligibleLeaderReplicas is the feature that lets replicas outside the ISR lead where they hold every committed record.
const EligibleLeaderReplicas = "eligible.leader.replicas.version"

// event is what happened to brokers, seen from their partitions. Fields without a broker are noNode.
type event struct {
	left    protocol.NodeID // does not serve any more
	joined  protocol.NodeID // serves from now on
	unclean protocol.NodeID // stopped without saying what its logs hold
}

func left(id protocol.NodeID) event    { return event{left: id, joined: noNode, unclean: noNode} }
func joined(id protocol.NodeID) event  { return event{left: noNode, joined: id, unclean: noNode} }
func crashed(id protocol.NodeID) event { return event{left: noNode, joined: noNode, unclean: id} }

// transition begins the transition of a partition, on which nothing is decided yet.
func (d *decider) transition(v *view, t *image.Topic, p *image.Partition) *transition {
	return &transition{
		prev: p, next: *p,
		policy:     d.policy(v, t.Name),
		elr:        v.img.Features[EligibleLeaderReplicas] > 0,
		canLead:    func(id protocol.NodeID) bool { return v.active(id) && v.dirOnline(p, id) },
		canServe:   v.active,
		unclean:    noNode,
		defaultDir: v.defaultDir,
	}
}

// policy is what the configuration says about a topic, as this node knows it: brokers' own files may differ.
func (d *decider) policy(v *view, topic string) TopicPolicy {
	return d.schema.TopicPolicy(v.img.Configs[image.Resource{Type: image.ResourceTopic, Name: topic}],
		v.img.Configs[image.Resource{Type: image.ResourceBroker, Name: strconv.Itoa(int(d.nodeID))}],
		v.img.Configs[image.Resource{Type: image.ResourceBroker}])
}

// follow takes a partition through an event.
func (d *decider) follow(v *view, t *image.Topic, p *image.Partition, e event) *metadata.PartitionChangeRecord {
	x := d.transition(v, t, p)
	if x.policy.UncleanElection {
		x.election = electUnclean
	}
	serves := func(id protocol.NodeID) bool {
		return id != e.left && id != e.unclean && (id == e.joined || v.active(id))
	}
	x.canServe = serves
	x.canLead = func(id protocol.NodeID) bool { return serves(id) && v.dirOnline(p, id) }
	x.unclean = e.unclean
	x.next.ISR = without(p.ISR, []protocol.NodeID{e.left, e.unclean})
	return x.record()
}

// place is where a partition stands in the image.
type place struct {
	topic *image.Topic
	index int
}

func (at place) partition() *image.Partition { return &at.topic.Partitions[at.index] }

// find lists the partitions of which something holds, in the order of their topics' names. Topics are sorted rather than partitions,
// of which there may be many more.
func (v *view) find(holds func(*image.Partition) bool) []place {
	var topics []*image.Topic
	n := 0
	for _, t := range v.img.Topics.All() {
		before := n
		for i := range t.Partitions {
			if holds(&t.Partitions[i]) {
				n++
			}
		}
		if n > before {
			topics = append(topics, t)
		}
	}
	slices.SortFunc(topics, func(a, b *image.Topic) int { return strings.Compare(a.Name, b.Name) })
	places := make([]place, 0, n)
	for _, t := range topics {
		for i := range t.Partitions {
			if holds(&t.Partitions[i]) {
				places = append(places, place{t, i})
			}
		}
	}
	return places
}

// affected makes the records that take every partition it concerns through an event.
func (d *decider) affected(v *view, e event, concerns func(*image.Partition) bool) []metadata.Record {
	places := v.find(concerns)
	records := make([]metadata.Record, 0, len(places))
	for _, at := range places {
		if r := d.follow(v, at.topic, at.partition(), e); r != nil {
			r.TopicID, r.Partition = at.topic.ID, int32(at.index)
			records = append(records, r)
		}
	}
	return records
}

// without makes the records that take a broker out of every ISR and leadership.
func (d *decider) without(v *view, id protocol.NodeID) []metadata.Record {
	if v.holders[id] == 0 {
		return nil
	}
	return d.affected(v, left(id), func(p *image.Partition) bool { return slices.Contains(p.ISR, id) })
}

// with makes the records that give leaderless partitions a leader now that a broker is active.
func (d *decider) with(v *view, id protocol.NodeID) []metadata.Record {
	if v.leaders[image.NoLeader] == 0 {
		return nil
	}
	return d.affected(v, joined(id), func(p *image.Partition) bool { return p.Leader == image.NoLeader })
}

// dirsOffline makes the records for directories that failed on a broker: their replicas leave ISRs and leaderships. In a
// heartbeat that changes more (busy) it waits for the next one, so that each decision sees the effect of the one before.
func (d *decider) dirsOffline(v *view, b *image.Broker, offline [][16]byte, busy bool) []metadata.Record {
	online := slices.DeleteFunc(slices.Clone(b.LogDirs), func(dir protocol.TopicID) bool {
		return slices.Contains(offline, [16]byte(dir))
	})
	if busy || len(online) == len(b.LogDirs) {
		return nil
	}
	records := d.affected(v, left(b.ID), func(p *image.Partition) bool {
		dir := p.Directory(b.ID)
		return slices.Contains(b.LogDirs, dir) && !slices.Contains(online, dir)
	})
	return append(records, &metadata.BrokerRegistrationChangeRecord{ID: b.ID, Epoch: b.Epoch, LogDirs: append([]protocol.TopicID{}, online...)})
}
