package controller

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Directory ids with a meaning of their own. The zero id says that nothing is known, as does 1.
var dirLost = protocol.TopicID{15: 2}

// maxDirs is how many log directories a broker may have: more are a mistake, or meant to keep the controller busy.
const maxDirs = 1000

// reservedIDs is how many of the lowest ids Kafka keeps for itself (unassigned, lost and migrating directories among them).
const reservedIDs = 100

func reserved(id protocol.TopicID) bool {
	for _, b := range id[:15] {
		if b != 0 {
			return false
		}
	}
	return id[15] < reservedIDs
}

// hasDir reports whether a directory is not known to be missing on a broker.
func hasDir(online []protocol.TopicID, dir protocol.TopicID) bool {
	return reserved(dir) && dir != dirLost || slices.Contains(online, dir)
}

// dirOnline reports whether a replica's directory is not known to be missing. A replica whose directory did not come back
// with its broker must not lead: it is empty.
func (v *view) dirOnline(p *image.Partition, id protocol.NodeID) bool {
	b := v.img.Brokers[id]
	return b != nil && hasDir(b.LogDirs, p.Directory(id))
}

// defaultDir is the directory a new replica is known to go to: the only one of its broker.
func (v *view) defaultDir(id protocol.NodeID) protocol.TopicID {
	if b := v.img.Brokers[id]; b != nil && len(b.LogDirs) == 1 {
		return b.LogDirs[0]
	}
	return protocol.TopicID{}
}

// dirsChange reports whether a heartbeat tells news of the broker's directories.
func dirsChange(b *image.Broker, req *kmsg.BrokerHeartbeatRequest) bool {
	return cordonsChange(b, req) || slices.ContainsFunc(b.LogDirs, func(dir protocol.TopicID) bool { return slices.Contains(req.OfflineLogDirs, [16]byte(dir)) })
}

// cordonsChange reports whether a heartbeat names other cordoned directories than are known. Brokers that do not know theirs yet,
// or never heard of such, say nothing.
func cordonsChange(b *image.Broker, req *kmsg.BrokerHeartbeatRequest) bool {
	if req.CordonedLogDirs == nil {
		return false
	}
	return !slices.Equal(b.CordonedDirs, cordons(b, req))
}

// cordons lists the broker's directories that a heartbeat names as cordoned.
func cordons(b *image.Broker, req *kmsg.BrokerHeartbeatRequest) []protocol.TopicID {
	out := []protocol.TopicID{}
	for _, dir := range b.LogDirs {
		if slices.Contains(req.CordonedLogDirs, [16]byte(dir)) {
			out = append(out, dir)
		}
	}
	return out
}

// assignDirs decides AssignReplicasToDirs: a broker tells in which directories its replicas lie.
func (d *decider) assignDirs(v *view, req *kmsg.AssignReplicasToDirsRequest) (decision, error) {
	resp := kmsg.NewPtrAssignReplicasToDirsResponse()
	resp.Version = req.Version
	id := protocol.NodeID(req.BrokerID)
	if err := checkEpoch(v, id, req.BrokerEpoch); err != nil {
		resp.ErrorCode = errcode.Of(err)
		return answered(resp), nil
	}
	var o overlay
	for i := range req.Directories {
		rd := &req.Directories[i]
		dir := kmsg.NewAssignReplicasToDirsResponseDirectory()
		dir.ID = rd.ID
		for j := range rd.Topics {
			rt := &rd.Topics[j]
			t := v.img.TopicByID(rt.TopicID)
			topic := kmsg.NewAssignReplicasToDirsResponseDirectoryTopic()
			topic.TopicID = rt.TopicID
			for k := range rt.Partitions {
				p := kmsg.NewAssignReplicasToDirsResponseDirectoryTopicPartition()
				p.Partition = rt.Partitions[k].Partition
				p.ErrorCode = errcode.Of(d.assignDir(v, &o, t, p.Partition, id, rd.ID))
				topic.Partitions = append(topic.Partitions, p)
			}
			dir.Topics = append(dir.Topics, topic)
		}
		resp.Directories = append(resp.Directories, dir)
	}
	if err := checkSize(o.records); err != nil {
		return decision{}, err
	}
	return decision{records: o.records, respond: func(*image.Image) kmsg.Response { return resp }}, nil
}

// assignDir decides one replica.
func (d *decider) assignDir(v *view, o *overlay, t *image.Topic, index int32, id protocol.NodeID, dir protocol.TopicID) error {
	if t == nil {
		return &errcode.Error{Kind: errcode.KindUnknownTopicID}
	}
	p := o.partition(t, index)
	switch {
	case p == nil:
		return &errcode.Error{Kind: errcode.KindUnknownTopicOrPartition}
	case !slices.Contains(p.Replicas, id):
		return &errcode.Error{Kind: errcode.KindNotLeaderForPartition}
	}
	o.change(t, index, d.moveReplica(v, t, p, id, dir))
	return nil
}

// moveReplica makes the record of a replica that lies in a directory. One whose directory is gone begins anew in another. What
// it held then counts no more, so it must not be trusted with it; but while nobody leads, and it may be the last that knows the
// partition, it stays where it was known to be: only an unclean election may give its empty log the lead.
func (d *decider) moveReplica(v *view, t *image.Topic, p *image.Partition, id protocol.NodeID, dir protocol.TopicID) *metadata.PartitionChangeRecord {
	self := []protocol.NodeID{id}
	x := d.transition(v, t, p)
	if !v.dirOnline(p, id) {
		if p.Leader == image.NoLeader && slices.Contains(union(union(p.ISR, p.ELR), p.LastKnownELR), id) {
			return nil
		}
		x.next.ELR, x.next.LastKnownELR = without(p.ELR, self), without(p.LastKnownELR, self)
	}
	x.setDirectory(id, dir)
	online := v.img.Brokers[id].LogDirs
	x.renewed = !v.dirOnline(p, id) && hasDir(online, dir)
	x.canLead = func(n protocol.NodeID) bool {
		if n == id {
			return v.active(n) && hasDir(online, dir)
		}
		return v.active(n) && v.dirOnline(p, n)
	}
	if !hasDir(online, dir) {
		x.next.ISR = without(p.ISR, self)
		if x.policy.UncleanElection {
			x.election = electUnclean
		}
	}
	return x.record()
}
