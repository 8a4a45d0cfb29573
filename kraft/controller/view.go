package controller

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/kraft/placement"
	"github.com/distributedmq/dmq/protocol"
)

// view is what decisions are taken on: the expected image, and indexes over it that would be slow to compute for each
// request. Counts are enough to leave out most searches through all partitions; one that finds something is worth its time.
type view struct {
	img      *image.Image
	leaders  map[protocol.NodeID]int        // partitions that each broker leads; of image.NoLeader: that nobody leads
	holders  map[protocol.NodeID]int        // partitions that have each broker in their ISR or ELR
	collides map[string]map[string]struct{} // names with '.' or '_', by the name with every '.' made '_'
}

func newView(img *image.Image) *view {
	v := &view{
		img: img, leaders: make(map[protocol.NodeID]int), holders: make(map[protocol.NodeID]int),
		collides: make(map[string]map[string]struct{}),
	}
	for name, t := range img.Topics.All() {
		v.nameAdded(name)
		for i := range t.Partitions {
			v.count(&t.Partitions[i], 1)
		}
	}
	return v
}

// count adds a partition to the counts, or takes it off them.
func (v *view) count(p *image.Partition, by int) {
	v.leaders[p.Leader] += by
	for _, id := range p.ISR {
		v.holders[id] += by
	}
	for _, id := range p.ELR {
		v.holders[id] += by
	}
}

func collisionKey(name string) (string, bool) {
	return strings.ReplaceAll(name, ".", "_"), strings.ContainsAny(name, "._")
}

func (v *view) nameAdded(name string) {
	key, ok := collisionKey(name)
	if !ok {
		return
	}
	if v.collides[key] == nil {
		v.collides[key] = make(map[string]struct{})
	}
	v.collides[key][name] = struct{}{}
}

func (v *view) nameRemoved(name string) {
	key, _ := collisionKey(name)
	delete(v.collides[key], name)
	if len(v.collides[key]) == 0 {
		delete(v.collides, key)
	}
}

// colliding returns the first existing topic whose name differs from this one in '.' and '_' only; a topic of this very
// name counts.
func (v *view) colliding(name string) (string, bool) {
	key, ok := collisionKey(name)
	if !ok || len(v.collides[key]) == 0 {
		return "", false
	}
	return slices.Min(slices.Collect(maps.Keys(v.collides[key]))), true
}

// expect brings the indexes forward by records that v.img does not have yet.
func (v *view) expect(records []metadata.Record) {
	o := overlay{changed: make(map[partitionKey]*image.Partition, len(records))}
	var t *image.Topic // of the record before: what happens to a broker is told topic by topic
	for _, r := range records {
		switch r := r.(type) {
		case *metadata.TopicRecord:
			v.nameAdded(r.Name)
		case *metadata.RemoveTopicRecord:
			removed := v.img.TopicByID(r.ID)
			v.nameRemoved(removed.Name)
			for i := range removed.Partitions {
				v.count(&removed.Partitions[i], -1)
			}
		case *metadata.PartitionRecord:
			v.count(&r.PartitionState, 1)
		case *metadata.PartitionChangeRecord:
			if t == nil || t.ID != r.TopicID {
				t = v.img.TopicByID(r.TopicID)
			}
			v.count(o.partition(t, r.Partition), -1)
			v.count(o.change(t, r.Partition, r), 1)
		}
	}
}

// placeable lists the brokers that may take new replicas, with the leaders they have. Those registered over REST keep no records:
// they count only while there are no others.
func (v *view) placeable() []placement.Broker {
	var brokers []placement.Broker
	native := v.img.HasNativeBrokers()
	for id, b := range v.img.Brokers {
		if b.InControlledShutdown && !b.Fenced || b.Cordoned() || native && b.ByREST() {
			continue
		}
		p := placement.Broker{ID: id, Fenced: b.Fenced, Leaders: v.leaders[id]}
		if b.Rack != nil {
			p.Rack = *b.Rack
		}
		brokers = append(brokers, p)
	}
	return brokers
}

// active reports whether a broker is registered and may lead.
func (v *view) active(id protocol.NodeID) bool {
	b := v.img.Brokers[id]
	return b != nil && b.Active()
}

// sortedTopics lists the topics by name.
func (v *view) sortedTopics() []*image.Topic {
	return slices.SortedFunc(v.img.Topics.Values(), func(a, b *image.Topic) int { return cmp.Compare(a.Name, b.Name) })
}
