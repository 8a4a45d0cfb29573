package metadata

import (
	"math"

	"github.com/distributedmq/dmq/protocol"
)

// The fields of each record, in their order on disk. Versions are 0 but for RegisterBroker and BrokerRegistrationChange, which
// have cordoned directories since 1, RegisterController, which has the directory since 1, and Partition, which has the epoch of the
// last unclean election since 1. RegisterBroker has the time since 2.

func (r *ClusterRecord) encode(e *encoder)           { e.string(r.ClusterID) }
func (r *ClusterRecord) decode(d *decoder, _ uint64) { r.ClusterID = d.string() }

func (r *FeatureLevelRecord) encode(e *encoder) {
	e.string(r.Name)
	e.varint(int64(r.Level))
}

func (r *FeatureLevelRecord) decode(d *decoder, _ uint64) {
	r.Name = d.string()
	r.Level = d.int16()
}

func (r *TopicRecord) encode(e *encoder) {
	e.string(r.Name)
	e.id(r.ID)
	e.varint(r.CreatedAt)
}

func (r *TopicRecord) decode(d *decoder, _ uint64) {
	r.Name = d.string()
	r.ID = d.id()
	r.CreatedAt = d.varint()
}

func (r *RemoveTopicRecord) encode(e *encoder)           { e.id(r.ID) }
func (r *RemoveTopicRecord) decode(d *decoder, _ uint64) { r.ID = d.id() }

func (r *PartitionRecord) encode(e *encoder) {
	e.id(r.TopicID)
	e.varint(int64(r.Partition))
	e.nodes(r.Replicas)
	e.nodes(r.ISR)
	e.nodes(r.ELR)
	e.nodes(r.LastKnownELR)
	e.nodes(r.Adding)
	e.nodes(r.Removing)
	e.ids(r.Directories)
	e.node(r.Leader)
	e.varint(int64(r.LeaderEpoch))
	e.varint(int64(r.PartitionEpoch))
	e.varint(int64(r.LeaderRecoveryState))
	e.varint(int64(r.UncleanEpoch))
}

func (r *PartitionRecord) decode(d *decoder, version uint64) {
	r.TopicID = d.id()
	r.Partition = d.int32()
	r.Replicas = d.nodes()
	r.ISR = d.nodes()
	r.ELR = d.nodes()
	r.LastKnownELR = d.nodes()
	r.Adding = d.nodes()
	r.Removing = d.nodes()
	r.Directories = d.ids()
	r.Leader = d.node()
	r.LeaderEpoch = d.int32()
	r.PartitionEpoch = d.int32()
	r.LeaderRecoveryState = d.int8()
	if version >= 1 {
		r.UncleanEpoch = d.int32()
	}
}

// Bits of the set that says which fields a PartitionChangeRecord carries.
const (
	hasLeader = 1 << iota
	hasISR
	hasELR
	hasLastKnownELR
	hasReplicas
	hasAdding
	hasRemoving
	hasDirectories
	hasLeaderRecoveryState
	partitionChangeBits = 1<<iota - 1
)

func (r *PartitionChangeRecord) encode(e *encoder) {
	e.id(r.TopicID)
	e.varint(int64(r.Partition))
	var set uint64
	mark := func(bit uint64, present bool) {
		if present {
			set |= bit
		}
	}
	mark(hasLeader, r.Leader != nil)
	mark(hasISR, r.ISR != nil)
	mark(hasELR, r.ELR != nil)
	mark(hasLastKnownELR, r.LastKnownELR != nil)
	mark(hasReplicas, r.Replicas != nil)
	mark(hasAdding, r.Adding != nil)
	mark(hasRemoving, r.Removing != nil)
	mark(hasDirectories, r.Directories != nil)
	mark(hasLeaderRecoveryState, r.LeaderRecoveryState != nil)
	e.uvarint(set)
	if r.Leader != nil {
		e.node(*r.Leader)
	}
	for _, list := range [][]protocol.NodeID{r.ISR, r.ELR, r.LastKnownELR, r.Replicas, r.Adding, r.Removing} {
		if list != nil {
			e.nodes(list)
		}
	}
	if r.Directories != nil {
		e.ids(r.Directories)
	}
	if r.LeaderRecoveryState != nil {
		e.varint(int64(*r.LeaderRecoveryState))
	}
}

func (r *PartitionChangeRecord) decode(d *decoder, _ uint64) {
	r.TopicID = d.id()
	r.Partition = d.int32()
	set := d.uvarint()
	if set > partitionChangeBits {
		d.fail("unknown fields %x", set)
		return
	}
	if set&hasLeader != 0 {
		leader := d.node()
		r.Leader = &leader
	}
	for _, f := range []struct {
		bit  uint64
		list *[]protocol.NodeID
	}{
		{hasISR, &r.ISR},
		{hasELR, &r.ELR},
		{hasLastKnownELR, &r.LastKnownELR},
		{hasReplicas, &r.Replicas},
		{hasAdding, &r.Adding},
		{hasRemoving, &r.Removing},
	} {
		if set&f.bit != 0 {
			*f.list = append([]protocol.NodeID{}, d.nodes()...) // present but empty is not nil
		}
	}
	if set&hasDirectories != 0 {
		r.Directories = append([]protocol.TopicID{}, d.ids()...)
	}
	if set&hasLeaderRecoveryState != 0 {
		state := d.int8()
		r.LeaderRecoveryState = &state
	}
}

func (r *ConfigRecord) encode(e *encoder) {
	e.varint(int64(r.ResourceType))
	e.string(r.ResourceName)
	e.string(r.Name)
	e.nullableString(r.Value)
}

func (r *ConfigRecord) decode(d *decoder, _ uint64) {
	r.ResourceType = d.int8()
	r.ResourceName = d.string()
	r.Name = d.string()
	r.Value = d.nullableString()
}

func (r *RegisterBrokerRecord) encode(e *encoder) {
	e.node(r.ID)
	e.varint(int64(r.Epoch))
	e.id(r.IncarnationID)
	e.endpoints(r.Endpoints)
	e.nullableString(r.Rack)
	e.bool(r.Fenced)
	e.bool(r.InControlledShutdown)
	e.ids(r.LogDirs)
	e.features(r.Features)
	e.ids(r.CordonedDirs)
	e.varint(r.RegisteredAt)
}

func (r *RegisterBrokerRecord) decode(d *decoder, version uint64) {
	r.ID = d.node()
	r.Epoch = protocol.BrokerEpoch(d.ranged(0, math.MaxInt64))
	r.IncarnationID = d.id()
	r.Endpoints = d.endpoints()
	r.Rack = d.nullableString()
	r.Fenced = d.bool()
	r.InControlledShutdown = d.bool()
	r.LogDirs = d.ids()
	r.Features = d.features()
	if version >= 1 {
		r.CordonedDirs = d.ids()
	}
	if version >= 2 {
		r.RegisteredAt = d.varint()
	}
}

func (r *UnregisterBrokerRecord) encode(e *encoder) {
	e.node(r.ID)
	e.varint(int64(r.Epoch))
}

func (r *UnregisterBrokerRecord) decode(d *decoder, _ uint64) {
	r.ID = d.node()
	r.Epoch = protocol.BrokerEpoch(d.varint())
}

// tri-state booleans: 0 absent, 1 false, 2 true.
func (e *encoder) optionalBool(v *bool) {
	switch {
	case v == nil:
		e.uvarint(0)
	case *v:
		e.uvarint(2)
	default:
		e.uvarint(1)
	}
}

func (d *decoder) optionalBool() *bool {
	v := d.uvarint()
	switch v {
	case 0:
		return nil
	case 1, 2:
		b := v == 2
		return &b
	default:
		d.fail("bad optional boolean %d", v)
		return nil
	}
}

func (r *BrokerRegistrationChangeRecord) encode(e *encoder) {
	e.node(r.ID)
	e.varint(int64(r.Epoch))
	e.optionalBool(r.Fenced)
	e.optionalBool(r.InControlledShutdown)
	e.optionalIDs(r.LogDirs)
	e.optionalIDs(r.CordonedDirs)
}

// optionalIDs writes a list that may be absent.
func (e *encoder) optionalIDs(v []protocol.TopicID) {
	e.bool(v != nil)
	if v != nil {
		e.ids(v)
	}
}

func (d *decoder) optionalIDs() []protocol.TopicID {
	if !d.bool() {
		return nil
	}
	return append([]protocol.TopicID{}, d.ids()...) // present but empty is not nil
}

func (r *BrokerRegistrationChangeRecord) decode(d *decoder, version uint64) {
	r.ID = d.node()
	r.Epoch = protocol.BrokerEpoch(d.varint())
	r.Fenced = d.optionalBool()
	r.InControlledShutdown = d.optionalBool()
	r.LogDirs = d.optionalIDs()
	if version >= 1 {
		r.CordonedDirs = d.optionalIDs()
	}
}

func (r *ProducerIDsRecord) encode(e *encoder) {
	e.node(r.BrokerID)
	e.varint(int64(r.BrokerEpoch))
	e.varint(r.NextProducerID)
}

func (r *ProducerIDsRecord) decode(d *decoder, _ uint64) {
	r.BrokerID = d.node()
	r.BrokerEpoch = protocol.BrokerEpoch(d.varint())
	r.NextProducerID = d.varint()
}

func (r *RegisterControllerRecord) encode(e *encoder) {
	e.node(r.ID)
	e.id(r.IncarnationID)
	e.endpoints(r.Endpoints)
	e.features(r.Features)
	e.id(r.DirectoryID)
}

func (r *RegisterControllerRecord) decode(d *decoder, version uint64) {
	r.ID = d.node()
	r.IncarnationID = d.id()
	r.Endpoints = d.endpoints()
	r.Features = d.features()
	if version >= 1 {
		r.DirectoryID = d.id()
	}
}
