package assignor

import (
	"bytes"
	"slices"

	"github.com/distributedmq/dmq/protocol"
)

// Assignor assigns the partitions of a group.
type Assignor interface {
	// Name is what members and group.consumer.assignors call it.
	Name() string
	// Assign returns an assignment for each of spec.Members, in that order. One that did not change is the member's Target
	// itself.
	Assign(spec Spec) []Assignment
}

// ByName returns the assignor of that name.
func ByName(name string) (Assignor, bool) {
	switch name {
	case Uniform{}.Name():
		return Uniform{}, true
	case Range{}.Name():
		return Range{}, true
	}
	return nil, false
}

// Spec is a group whose partitions are to be assigned.
type Spec struct {
	Topics  []Topic  // that members are subscribed to, in the order of their ids
	Members []Member // in the order of their ids
	// Homogeneous says that every member is subscribed to all the topics.
	Homogeneous bool
}

// Topic is a topic with at least one subscriber.
type Topic struct {
	ID         protocol.TopicID
	Partitions int32
}

// Member is a member of the group.
type Member struct {
	ID         string
	InstanceID string     // of a static member; else ""
	Topics     []int32    // that it is subscribed to: indexes of Spec.Topics, ascending; ignored when the group is homogeneous
	Target     Assignment // what it has been assigned so far
}

// Assignment is what one member gets: in the order of the topics' ids, none without partitions. It is immutable.
type Assignment []TopicPartitions

// TopicPartitions are partitions of one topic, ascending.
type TopicPartitions struct {
	TopicID    protocol.TopicID
	Partitions []int32
}

// Count returns the number of partitions.
func (a Assignment) Count() int {
	n := 0
	for _, tp := range a {
		n += len(tp.Partitions)
	}
	return n
}

// Partitions returns the partitions of a topic.
func (a Assignment) Partitions(id protocol.TopicID) []int32 {
	i, found := slices.BinarySearchFunc(a, id, func(tp TopicPartitions, id protocol.TopicID) int { return CompareIDs(tp.TopicID, id) })
	if !found {
		return nil
	}
	return a[i].Partitions
}

// Equal reports whether both are the same partitions.
func (a Assignment) Equal(b Assignment) bool {
	return slices.EqualFunc(a, b, func(a, b TopicPartitions) bool {
		return a.TopicID == b.TopicID && slices.Equal(a.Partitions, b.Partitions)
	})
}

// CompareIDs is the order of topics in a Spec and in an Assignment.
func CompareIDs(a, b protocol.TopicID) int { return bytes.Compare(a[:], b[:]) }

// nobody owns a partition.
const nobody = -1

// owners says which member owns each partition: by topic and partition, the member's index.
type owners [][]int32

func newOwners(topics []Topic) owners {
	total := 0
	for _, t := range topics {
		total += int(t.Partitions)
	}
	all := make([]int32, total)
	for i := range all {
		all[i] = nobody
	}
	o := make(owners, len(topics))
	for i, t := range topics {
		o[i], all = all[:t.Partitions:t.Partitions], all[t.Partitions:]
	}
	return o
}

// claim gives the members of the group what they were assigned, as far as it is there and they are still subscribed to it.
func (o owners) claim(spec Spec) {
	for m := range spec.Members {
		spec.eachTarget(m, func(topic int, partitions []int32) {
			for _, p := range partitions {
				// A partition that is beyond the topic or that two members claim was never assigned by us; a log may say
				// anything.
				if p >= 0 && int(p) < len(o[topic]) && o[topic][p] == nobody {
					o[topic][p] = int32(m)
				}
			}
		})
	}
}

// eachTarget visits the topics that are assigned to a member which is subscribed to them.
func (s *Spec) eachTarget(member int, visit func(topic int, partitions []int32)) {
	m := &s.Members[member]
	topic := 0
	for _, tp := range m.Target {
		for topic < len(s.Topics) && CompareIDs(s.Topics[topic].ID, tp.TopicID) < 0 {
			topic++
		}
		if topic == len(s.Topics) {
			return
		}
		if s.Topics[topic].ID == tp.TopicID && s.subscribed(m, int32(topic)) {
			visit(topic, tp.Partitions)
		}
	}
}

func (s *Spec) subscribed(m *Member, topic int32) bool {
	if s.Homogeneous {
		return true
	}
	_, found := slices.BinarySearch(m.Topics, topic)
	return found
}

// assignments returns who owns what, by member.
func (o owners) assignments(spec Spec) []Assignment {
	partitions, topics := o.count(len(spec.Members))
	out := make([]Assignment, len(spec.Members))
	kept := make([]bool, len(spec.Members))
	free := make([][]int32, len(spec.Members)) // room for the partitions that are still to come
	for m := range out {
		if kept[m] = o.keeps(spec, m, partitions[m]); kept[m] {
			out[m] = spec.Members[m].Target
			continue
		}
		out[m] = make(Assignment, 0, topics[m])
		free[m] = make([]int32, 0, partitions[m])
	}
	for t, byPartition := range o {
		id := spec.Topics[t].ID
		for p, m := range byPartition {
			if m == nobody || kept[m] {
				continue
			}
			if last := len(out[m]) - 1; last < 0 || out[m][last].TopicID != id {
				out[m] = append(out[m], TopicPartitions{TopicID: id, Partitions: free[m][len(free[m]):]}) // grows below
			}
			free[m] = append(free[m], int32(p))
			tp := &out[m][len(out[m])-1]
			tp.Partitions = tp.Partitions[:len(tp.Partitions)+1]
		}
	}
	return out
}

// count returns how many partitions and topics each member owns.
func (o owners) count(members int) (partitions, topics []int32) {
	partitions, topics = make([]int32, members), make([]int32, members)
	lastTopic := make([]int32, members)
	for t, byPartition := range o {
		for _, m := range byPartition {
			if m == nobody {
				continue
			}
			partitions[m]++
			if lastTopic[m] != int32(t)+1 {
				lastTopic[m] = int32(t) + 1
				topics[m]++
			}
		}
	}
	return partitions, topics
}

// keeps reports whether a member, which owns that many partitions, owns exactly its target.
func (o owners) keeps(spec Spec, member int, partitions int32) bool {
	if spec.Members[member].Target.Count() != int(partitions) {
		return false
	}
	spec.eachTarget(member, func(topic int, targets []int32) {
		for _, p := range targets {
			if p >= 0 && int(p) < len(o[topic]) && o[topic][p] == int32(member) {
				partitions--
			}
		}
	})
	return partitions == 0
}
