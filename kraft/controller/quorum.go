package controller

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// KRaftVersion is the feature that allows the voters to change (KIP-853), from level 1 on.
const KRaftVersion = "kraft.version"

// handleQuorum answers what is for the quorum itself and needs no decision about the metadata. ok is false for other requests.
func (c *Controller) handleQuorum(ctx context.Context, req kmsg.Request) (resp kmsg.Response, ok bool) {
	switch r := req.(type) {
	case *kmsg.DescribeQuorumRequest:
		return c.describeQuorum(r), true
	case *kmsg.AddRaftVoterRequest:
		return c.addRaftVoter(ctx, r), true
	case *kmsg.RemoveRaftVoterRequest:
		return c.removeRaftVoter(ctx, r), true
	case *kmsg.UpdateRaftVoterRequest:
		return c.updateRaftVoter(ctx, r), true
	case *kmsg.AlterPartitionAssignmentsRequest:
		if to, ok := handOverTo(r); ok {
			return c.handOver(ctx, r, to), true
		}
	}
	return nil, false
}

// describeQuorum answers DescribeQuorum.
func (c *Controller) describeQuorum(req *kmsg.DescribeQuorumRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeQuorumResponse()
	resp.Version = req.Version
	resp.ErrorMessage = new("") // not null, as Kafka has it
	if len(req.Topics) != 1 || req.Topics[0].Topic != metadataTopic || len(req.Topics[0].Partitions) != 1 || req.Topics[0].Partitions[0].Partition != 0 {
		for _, t := range req.Topics {
			rt := kmsg.NewDescribeQuorumResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rt.Partitions = append(rt.Partitions, failedQuorum(p.Partition, errcode.KindUnknownTopicOrPartition))
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	}
	rt := kmsg.NewDescribeQuorumResponseTopic()
	rt.Topic = metadataTopic
	if !c.o.Quorum.IsLeader() {
		rt.Partitions = append(rt.Partitions, failedQuorum(0, errcode.KindNotLeaderForPartition))
	} else {
		s := c.o.Quorum.Status()
		rt.Partitions = append(rt.Partitions, describePartition(s))
		resp.Nodes = c.quorumNodes(s)
	}
	resp.Topics = append(resp.Topics, rt)
	return resp
}

func failedQuorum(partition int32, kind errcode.Kind) kmsg.DescribeQuorumResponseTopicPartition {
	p := kmsg.NewDescribeQuorumResponseTopicPartition()
	p.Partition, p.ErrorCode = partition, int16(kind)
	p.ErrorMessage = errcode.Message(&errcode.Error{Kind: kind})
	return p
}

// describePartition describes the quorum as its leader sees it. Kafka's offsets are of the next record.
func describePartition(s kraft.Status) kmsg.DescribeQuorumResponseTopicPartition {
	p := kmsg.NewDescribeQuorumResponseTopicPartition()
	p.ErrorMessage = new("")
	p.LeaderID = int32(s.Leader)
	p.LeaderEpoch = int32(s.Term)
	p.HighWatermark = s.CommitIndex + 1
	for i := range s.Members {
		m := &s.Members[i]
		r := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		r.ReplicaID, r.ReplicaDirectoryID, r.LogEndOffset = int32(m.ID), m.DirectoryID, -1
		r.LastFetchTimestamp, r.LastCaughtUpTimestamp = millis(m.Contact), millis(m.CaughtUp)
		if m.LastIndex >= 0 {
			r.LogEndOffset = m.LastIndex + 1
		}
		if m.Voter {
			p.CurrentVoters = append(p.CurrentVoters, r)
		} else {
			p.Observers = append(p.Observers, r)
		}
	}
	return p
}

// millis is a time in Kafka's notation; -1: never.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return -1
	}
	return t.UnixMilli()
}

// quorumNodes says where the voters listen: as they registered, or as the quorum knows.
func (c *Controller) quorumNodes(s kraft.Status) []kmsg.DescribeQuorumResponseNode {
	img := c.o.Quorum.Image()
	var nodes []kmsg.DescribeQuorumResponseNode
	for i := range s.Members {
		m := &s.Members[i]
		if !m.Voter {
			continue
		}
		n := kmsg.NewDescribeQuorumResponseNode()
		n.NodeID = int32(m.ID)
		for _, e := range c.endpoints(img, m) {
			l := kmsg.NewDescribeQuorumResponseNodeListener()
			l.Name, l.Host, l.Port = e.Name, e.Host, e.Port
			n.Listeners = append(n.Listeners, l)
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func (c *Controller) endpoints(img *image.Image, m *kraft.Member) []image.Endpoint {
	if registered := img.Controllers[m.ID]; registered != nil {
		return image.Listeners(registered.Endpoints)
	}
	host, text, err := net.SplitHostPort(m.Address)
	port, portErr := strconv.ParseUint(text, 10, 16)
	if err != nil || portErr != nil {
		return nil
	}
	return []image.Endpoint{{Name: c.listenerName(), Host: host, Port: uint16(port)}}
}

// listenerName is the name of the controllers' listener.
func (c *Controller) listenerName() string {
	if len(c.o.Endpoints) == 0 {
		return "CONTROLLER"
	}
	return c.o.Endpoints[0].Name
}

// checkQuorumRequest are the checks that come first: the cluster, and who leads.
func (c *Controller) checkQuorumRequest(clusterID *string) error {
	if own := c.o.Quorum.Image().ClusterID; clusterID != nil && *clusterID != own {
		return errcode.New(errcode.KindInconsistentClusterID, "The given id %q doesn't match the cluster id %q", *clusterID, own)
	}
	if !c.o.Quorum.IsLeader() {
		return errNotLeader()
	}
	return nil
}

// errNotLeader is NOT_LEADER_OR_FOLLOWER: so the quorum's own APIs say it, unlike those of the controller.
func errNotLeader() error { return &errcode.Error{Kind: errcode.KindNotLeaderForPartition} }

// checkReconfiguration refuses changes of the voters below kraft.version 1.
func (c *Controller) checkReconfiguration(doing string) error {
	if level := c.o.Quorum.Image().Features[KRaftVersion]; level < 1 {
		return errcode.New(errcode.KindUnsupportedVersion, "Cluster doesn't support %s voter because the %s feature is %d", doing, KRaftVersion, level)
	}
	return nil
}

// quorumError is the code and text of an answer.
func quorumError(err error) (code int16, text *string) {
	if err == nil {
		return 0, nil
	}
	if errors.As(err, new(*kraft.NotLeaderError)) {
		err = errNotLeader()
	}
	return errcode.Of(err), errcode.Message(err)
}

// address finds the endpoint for controllers among those of a request.
func (c *Controller) address(name, host string, port uint16) (string, bool) {
	if name != c.listenerName() {
		return "", false
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port))), true
}

// addRaftVoter answers AddRaftVoter. Where Kafka refuses a voter that lags this waits for it, within the request's time. It waits for
// the commit as well, whatever AckWhenCommitted says.
func (c *Controller) addRaftVoter(ctx context.Context, req *kmsg.AddRaftVoterRequest) kmsg.Response {
	resp := kmsg.NewPtrAddRaftVoterResponse()
	resp.Version = req.Version
	if req.TimeoutMillis > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(req.TimeoutMillis)*time.Millisecond)
		defer cancel()
	}
	resp.ErrorCode, resp.ErrorMessage = quorumError(c.addVoter(ctx, req))
	return resp
}

func (c *Controller) addVoter(ctx context.Context, req *kmsg.AddRaftVoterRequest) error {
	if err := c.checkQuorumRequest(req.ClusterID); err != nil {
		return err
	}
	key := kraft.VoterKey{ID: protocol.NodeID(req.VoterID), DirectoryID: req.VoterDirectoryID}
	if key.ID < 0 || key.DirectoryID.IsZero() {
		return errcode.New(errcode.KindInvalidRequest, "Add voter request didn't include a valid voter")
	}
	address, ok := "", false
	for _, l := range req.Listeners {
		if at, is := c.address(l.Name, l.Host, l.Port); is {
			address, ok = at, true
		}
	}
	if !ok {
		return errcode.New(errcode.KindInvalidRequest, "Add voter request didn't include the endpoint for the default listener %s", c.listenerName())
	}
	if err := c.checkReconfiguration("adding"); err != nil {
		return err
	}
	return c.o.Quorum.AddVoter(ctx, key, address)
}

// removeRaftVoter answers RemoveRaftVoter.
func (c *Controller) removeRaftVoter(ctx context.Context, req *kmsg.RemoveRaftVoterRequest) kmsg.Response {
	resp := kmsg.NewPtrRemoveRaftVoterResponse()
	resp.Version = req.Version
	resp.ErrorCode, resp.ErrorMessage = quorumError(c.removeVoter(ctx, req))
	return resp
}

func (c *Controller) removeVoter(ctx context.Context, req *kmsg.RemoveRaftVoterRequest) error {
	if err := c.checkQuorumRequest(req.ClusterID); err != nil {
		return err
	}
	key := kraft.VoterKey{ID: protocol.NodeID(req.VoterID), DirectoryID: req.VoterDirectoryID}
	if key.ID < 0 || key.DirectoryID.IsZero() {
		return errcode.New(errcode.KindInvalidRequest, "Remove voter request didn't include a valid voter")
	}
	if err := c.checkReconfiguration("removing"); err != nil {
		return err
	}
	return c.o.Quorum.RemoveVoter(ctx, key)
}

// updateRaftVoter answers UpdateRaftVoter, by which a voter says where it listens.
func (c *Controller) updateRaftVoter(ctx context.Context, req *kmsg.UpdateRaftVoterRequest) kmsg.Response {
	resp := kmsg.NewPtrUpdateRaftVoterResponse()
	resp.Version = req.Version
	resp.ErrorCode, _ = quorumError(c.updateVoter(ctx, req))
	resp.CurrentLeader = c.currentLeader()
	return resp
}

func (c *Controller) updateVoter(ctx context.Context, req *kmsg.UpdateRaftVoterRequest) error {
	if err := c.checkQuorumRequest(req.ClusterID); err != nil {
		return err
	}
	if err := c.checkLeaderEpoch(req.CurrentLeaderEpoch); err != nil {
		return err
	}
	key := kraft.VoterKey{ID: protocol.NodeID(req.VoterID), DirectoryID: req.VoterDirectoryID}
	address, ok := "", false
	for _, l := range req.Listeners {
		if at, is := c.address(l.Name, l.Host, l.Port); is {
			address, ok = at, true
		}
	}
	r := req.KRaftVersionFeature
	level := c.o.Quorum.Image().Features[KRaftVersion]
	if key.ID < 0 || key.DirectoryID.IsZero() || !ok || r.MinSupportedVersion < 0 || level < r.MinSupportedVersion || level > r.MaxSupportedVersion {
		return &errcode.Error{Kind: errcode.KindInvalidRequest}
	}
	return c.o.Quorum.UpdateVoter(ctx, key, address)
}

// checkLeaderEpoch fences a request that was made for another leader; -1: for any.
func (c *Controller) checkLeaderEpoch(epoch int32) error {
	_, term, _ := c.o.Quorum.Leader()
	switch {
	case epoch < 0 || int64(epoch) == term:
		return nil
	case int64(epoch) < term:
		return &errcode.Error{Kind: errcode.KindFencedLeaderEpoch}
	default:
		return &errcode.Error{Kind: errcode.KindUnknownLeaderEpoch}
	}
}

func (c *Controller) currentLeader() kmsg.UpdateRaftVoterResponseCurrentLeader {
	out := kmsg.NewUpdateRaftVoterResponseCurrentLeader()
	id, term, ok := c.o.Quorum.Leader()
	out.LeaderEpoch = int32(term)
	if !ok {
		return out
	}
	out.LeaderID = int32(id)
	if host, text, err := net.SplitHostPort(c.o.Quorum.Address(id)); err == nil {
		if port, err := strconv.ParseUint(text, 10, 16); err == nil {
			out.Host, out.Port = host, int32(port)
		}
	}
	return out
}

// handOverTo recognises the way to have another voter lead the quorum, for which Kafka has no API of its own: an
// AlterPartitionReassignments of __cluster_metadata-0 alone, whose first replica is the one to lead.
func handOverTo(req *kmsg.AlterPartitionAssignmentsRequest) (protocol.NodeID, bool) {
	if len(req.Topics) != 1 || req.Topics[0].Topic != metadataTopic || len(req.Topics[0].Partitions) != 1 {
		return 0, false
	}
	p := &req.Topics[0].Partitions[0]
	if p.Partition != 0 || len(p.Replicas) == 0 {
		return 0, false
	}
	return protocol.NodeID(p.Replicas[0]), true
}

func (c *Controller) handOver(ctx context.Context, req *kmsg.AlterPartitionAssignmentsRequest, to protocol.NodeID) kmsg.Response {
	resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
	resp.Version = req.Version
	err := c.o.Quorum.HandOver(ctx, to)
	if errors.As(err, new(*kraft.NotLeaderError)) {
		resp.ErrorCode, resp.ErrorMessage = errcode.Of(err), errcode.Message(err)
		return resp
	}
	t := kmsg.NewAlterPartitionAssignmentsResponseTopic()
	t.Topic = metadataTopic
	p := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
	if err != nil {
		p.ErrorCode, p.ErrorMessage = errcode.Of(err), errcode.Message(err)
	}
	t.Partitions = append(t.Partitions, p)
	resp.Topics = append(resp.Topics, t)
	return resp
}

// controllerRegistrationLevel is the metadata.version from which on controllers register (3.7-IV0).
const controllerRegistrationLevel = 15

// registerController decides ControllerRegistration, by which a controller that does not lead says where it listens and what it
// supports (KIP-919).
func (d *decider) registerController(v *view, req *kmsg.ControllerRegistrationRequest) (decision, error) {
	resp := kmsg.NewPtrControllerRegistrationResponse()
	resp.Version = req.Version
	if v.img.Features[MetadataVersion] < controllerRegistrationLevel {
		err := errcode.New(errcode.KindUnsupportedVersion, "The current MetadataVersion is too old to support controller registrations.")
		resp.ErrorCode, resp.ErrorMessage = errcode.Of(err), errcode.Message(err)
		return answered(resp), nil
	}
	r := &metadata.RegisterControllerRecord{
		ID: protocol.NodeID(req.ControllerID), IncarnationID: req.IncarnationID, DirectoryID: d.directory(protocol.NodeID(req.ControllerID)),
		Features: make(map[string]image.FeatureRange, len(req.Features)),
	}
	for _, l := range req.Listeners {
		r.Endpoints = append(r.Endpoints, image.Endpoint{Name: l.Name, Host: l.Host, Port: l.Port, SecurityProtocol: l.SecurityProtocol})
	}
	for _, f := range req.Features {
		r.Features[f.Name] = image.FeatureRange{Min: f.MinSupportedVersion, Max: f.MaxSupportedVersion}
	}
	return decision{records: []metadata.Record{r}, respond: func(*image.Image) kmsg.Response { return resp }}, nil
}
