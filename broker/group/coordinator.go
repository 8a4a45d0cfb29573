package group

import (
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Topic is where groups and offsets are kept.
const Topic = protocol.ConsumerOffsetsTopic

// patience is how long requests wait for a coordinator that begins to load. Nearly all are loaded by then, while clients that are
// told to wait do so for a second or three.
const patience = 500 * time.Millisecond

// Options configure a Coordinator. All are required.
type Options struct {
	NodeID   protocol.NodeID
	Replicas coordlog.Replicas
	Image    func() *image.Image // the newest; a publisher is told of no newer one
	Logger   *slog.Logger
	Rand     func() *rand.Rand // a new source; member ids must not be guessed

	// What follows is worked out anew when the cluster's configuration or features change.
	Settings      func(*image.Image) Settings
	GroupSettings func(*image.Image) map[string]ConsumerSettings // of the groups that have settings of their own
	MaxBatchBytes func(*image.Image) int                         // of the topic
	KeepBytes     func(*image.Image) int                         // group.coordinator.cached.buffer.max.bytes

	Partitions    int            // offsets.topic.num.partitions, while there is no topic
	Codec         compress.Codec // offsets.topic.compression.codec
	CommitTimeout time.Duration  // offsets.commit.timeout.ms
	LoadBytes     int            // offsets.load.buffer.size
	Background    int            // group.coordinator.background.threads
}

// Coordinator is this broker's group coordinator: what handlers call. Its methods may be called from any goroutine. Each
// gives its answer to reply exactly once, on any goroutine and maybe before it returns; reply must be quick.
type Coordinator struct {
	runtime    *coordlog.Runtime[*State]
	image      func() *image.Image
	logger     *slog.Logger
	options    Options
	partitions int
	counters   Counters
	current    atomic.Pointer[snapshot]
}

// snapshot is what follows from the metadata.
type snapshot struct {
	settings      Settings
	groups        map[string]ConsumerSettings
	maxBatchBytes int
	keepBytes     int
}

func (s *snapshot) consumer(groupID string) ConsumerSettings {
	if own, ok := s.groups[groupID]; ok {
		return own
	}
	return s.settings.Consumer
}

// NewCoordinator returns a coordinator that coordinates nothing until it is told of metadata (Publish).
func NewCoordinator(o Options) *Coordinator {
	logger := o.Logger.With(slog.String("component", "group"))
	c := &Coordinator{image: o.Image, logger: logger, options: o, partitions: o.Partitions}
	c.refresh(o.Image())
	env := func() Env {
		return Env{
			Settings:      func() Settings { return c.current.Load().settings },
			GroupSettings: func(groupID string) ConsumerSettings { return c.current.Load().consumer(groupID) },
			Image:         o.Image,
			Rand:          o.Rand(),
			Logger:        logger,
			Counters:      &c.counters,
		}
	}
	c.runtime = coordlog.New(coordlog.Options[*State]{
		Topic: Topic, NodeID: o.NodeID, Replicas: o.Replicas, Logger: o.Logger,
		New:           func(int32) *State { return NewState(env()) },
		MaxBatchBytes: func() int { return c.current.Load().maxBatchBytes },
		KeepBytes:     func() int { return c.current.Load().keepBytes },
		Codec:         o.Codec, AppendTimeout: o.CommitTimeout, LoadBytes: o.LoadBytes, Background: o.Background,
		Patience: patience,
	})
	return c
}

func (c *Coordinator) refresh(img *image.Image) {
	c.current.Store(&snapshot{
		settings:      c.options.Settings(img),
		groups:        c.options.GroupSettings(img),
		maxBatchBytes: c.options.MaxBatchBytes(img),
		keepBytes:     c.options.KeepBytes(img),
	})
}

// Publish takes over a new metadata image (image.Publisher): what this broker leads, settings, and topics that came, changed
// or went.
func (c *Coordinator) Publish(d *image.Delta) {
	first := d.Prev == nil || d.Prev.Version == 0
	if first || len(d.ChangedConfigs) > 0 || d.FeaturesChanged || d.ChangedTopics[Topic] != nil {
		c.refresh(d.Next)
	}
	c.runtime.Publish(d)
	if first { // whoever loads from now on looks at the image
		return
	}
	if len(d.DeletedTopics) > 0 {
		topics := make([]DeletedTopic, len(d.DeletedTopics))
		for i, t := range d.DeletedTopics {
			topics[i] = DeletedTopic{Name: t.Name, ID: t.ID}
		}
		c.runtime.Post(func(fx coordlog.Effects, s *State) {
			if err := s.TopicsDeleted(fx, topics); err != nil {
				c.logger.Warn("remove the offsets of deleted topics", slog.Any("err", err))
			}
		})
	}
	if len(d.DeletedTopics) > 0 || len(d.ChangedTopics) > 0 {
		c.runtime.Post(func(fx coordlog.Effects, s *State) { s.MetadataChanged(fx, d) })
	}
}

// Resign stops coordinating so that a broker that stops can answer what it was asked (coordlog.Runtime.Resign).
func (c *Coordinator) Resign() { c.runtime.Resign() }

// Close ends everything and joins its goroutines.
func (c *Coordinator) Close() error { return c.runtime.Close() }

// Stats describe the runtime, for metrics.
func (c *Coordinator) Stats() coordlog.Stats { return c.runtime.Stats() }

// Counters count what happens to its groups.
func (c *Coordinator) Counters() *Counters { return &c.counters }

// Partition returns the partition of the topic that a group belongs to.
func (c *Coordinator) Partition(groupID string) int32 {
	n := c.partitions
	if t := c.image().Topic(Topic); t != nil {
		n = len(t.Partitions)
	}
	return partitionFor(groupID, n)
}

// partitionFor is Kafka's: the absolute of Java's String.hashCode, which works on UTF-16, modulo the number of partitions. The
// least int has no absolute and counts as 0.
func partitionFor(groupID string, partitions int) int32 {
	var h int32
	for _, r := range groupID {
		if r > 0xffff {
			r -= 0x10000
			h = 31*h + 0xd800 + r>>10
			r = 0xdc00 + r&0x3ff
		}
		h = 31*h + r
	}
	switch {
	case h == -1<<31:
		h = 0
	case h < 0:
		h = -h
	}
	return h % int32(partitions)
}

// submit runs an operation of one group. failed makes an answer of why it could not be run.
func submit[R any](c *Coordinator, groupID string, op func(fx coordlog.Effects, s *State, reply func(R)), failed func(err error) R, reply func(R)) {
	coordlog.Submit(c.runtime, c.Partition(groupID), op, func(resp R, err error) {
		if err != nil {
			resp = failed(err)
		}
		reply(resp)
	})
}

// JoinGroup makes a client a member of a group and answers when the group's next generation begins. What the request points to
// is the coordinator's from then on.
func (c *Coordinator) JoinGroup(who Caller, req *kmsg.JoinGroupRequest, reply func(*kmsg.JoinGroupResponse)) {
	if kind := checkJoin(req, c.current.Load().settings); kind != errcode.KindNone {
		newJoin(who, req, reply).refuse(req.MemberID, kind)
		return
	}
	submit(c, req.Group, func(fx coordlog.Effects, s *State, reply func(*kmsg.JoinGroupResponse)) {
		s.JoinGroup(fx, who, req, reply)
	}, func(err error) *kmsg.JoinGroupResponse { return joinRefused("", errcode.KindOf(err)) }, reply)
}

// SyncGroup gives a member its assignment. What the request points to is the coordinator's from then on.
func (c *Coordinator) SyncGroup(who Caller, req *kmsg.SyncGroupRequest, reply func(*kmsg.SyncGroupResponse)) {
	if kind := checkSync(req); kind != errcode.KindNone {
		reply(syncRefused(kind))
		return
	}
	submit(c, req.Group, func(fx coordlog.Effects, s *State, reply func(*kmsg.SyncGroupResponse)) {
		s.SyncGroup(fx, who, req, reply)
	}, func(err error) *kmsg.SyncGroupResponse { return syncRefused(errcode.KindOf(err)) }, reply)
}

// Heartbeat renews a member's session. While the coordinator loads, all is well, as in Kafka: the member has nothing to do.
func (c *Coordinator) Heartbeat(who Caller, req *kmsg.HeartbeatRequest, reply func(*kmsg.HeartbeatResponse)) {
	answer := func(kind errcode.Kind) *kmsg.HeartbeatResponse {
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.ErrorCode = int16(kind)
		return resp
	}
	if req.Group == "" {
		reply(answer(errcode.KindInvalidGroupID))
		return
	}
	submit(c, req.Group, func(fx coordlog.Effects, s *State, reply func(*kmsg.HeartbeatResponse)) {
		s.Heartbeat(fx, who, req, reply)
	}, func(err error) *kmsg.HeartbeatResponse {
		kind := errcode.KindOf(err)
		if kind == errcode.KindCoordinatorLoadInProgress {
			kind = errcode.KindNone
		}
		return answer(kind)
	}, reply)
}

// LeaveGroup removes members from a group.
func (c *Coordinator) LeaveGroup(who Caller, req *kmsg.LeaveGroupRequest, reply func(*kmsg.LeaveGroupResponse)) {
	refused := func(kind errcode.Kind) *kmsg.LeaveGroupResponse {
		resp := kmsg.NewPtrLeaveGroupResponse()
		resp.ErrorCode = int16(kind)
		return resp
	}
	if req.Group == "" {
		reply(refused(errcode.KindInvalidGroupID))
		return
	}
	submit(c, req.Group, func(fx coordlog.Effects, s *State, reply func(*kmsg.LeaveGroupResponse)) {
		s.LeaveGroup(fx, who, req, reply)
	}, func(err error) *kmsg.LeaveGroupResponse { return refused(errcode.KindOf(err)) }, reply)
}

// ConsumerGroupHeartbeat is all that a member of a consumer group asks and says (KIP-848). It is UNSUPPORTED_VERSION while the
// cluster's group.version is 0.
func (c *Coordinator) ConsumerGroupHeartbeat(who Caller, req *kmsg.ConsumerGroupHeartbeatRequest, reply func(*kmsg.ConsumerGroupHeartbeatResponse)) {
	refused := func(err error) *kmsg.ConsumerGroupHeartbeatResponse {
		resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
		resp.ErrorCode, resp.ErrorMessage = failure(err)
		return resp
	}
	settings := c.current.Load().settings
	if !settings.ConsumerGroupsServed {
		resp := refused(errNotServed)
		resp.ErrorMessage = nil
		reply(resp)
		return
	}
	if err := checkHeartbeat(req, settings); err != nil {
		reply(refused(err))
		return
	}
	submit(c, req.Group, func(fx coordlog.Effects, s *State, reply func(*kmsg.ConsumerGroupHeartbeatResponse)) {
		s.ConsumerGroupHeartbeat(fx, who, req, reply)
	}, refused, reply)
}

// errNotServed is the answer about consumer groups while the cluster's group.version is 0.
var errNotServed = &errcode.Error{Kind: errcode.KindUnsupportedVersion}

// OffsetCommit commits offsets. All topics and partitions that the request names exist; see State.OffsetCommit.
func (c *Coordinator) OffsetCommit(who Caller, req *kmsg.OffsetCommitRequest, reply func(*kmsg.OffsetCommitResponse)) {
	submit(c, req.Group, func(fx coordlog.Effects, s *State, reply func(*kmsg.OffsetCommitResponse)) {
		s.OffsetCommit(fx, who, req, reply)
	}, func(err error) *kmsg.OffsetCommitResponse { return commitFailed(req, err) }, reply)
}

// commitFailed answers with an error for each partition.
func commitFailed(req *kmsg.OffsetCommitRequest, err error) *kmsg.OffsetCommitResponse {
	resp := commitResponse(req)
	failCommit(resp, err)
	return resp
}

// OffsetFetch returns what one group has committed; see State.OffsetFetch. Old consumers know neither REQUEST_TIMED_OUT nor
// COORDINATOR_NOT_AVAILABLE here: both are NOT_COORDINATOR, as in Kafka.
func (c *Coordinator) OffsetFetch(g *kmsg.OffsetFetchRequestGroup, requireStable bool, reply func(kmsg.OffsetFetchResponseGroup)) {
	submit(c, g.Group, func(fx coordlog.Effects, s *State, reply func(kmsg.OffsetFetchResponseGroup)) {
		s.OffsetFetch(fx, g, requireStable, reply)
	}, func(err error) kmsg.OffsetFetchResponseGroup {
		resp := kmsg.NewOffsetFetchResponseGroup()
		resp.Group, resp.ErrorCode = g.Group, errcode.Of(err)
		if resp.ErrorCode == int16(errcode.KindCoordinatorNotAvailable) {
			resp.ErrorCode = int16(errcode.KindNotCoordinator)
		}
		return resp
	}, reply)
}

// OffsetDelete removes committed offsets; see State.OffsetDelete.
func (c *Coordinator) OffsetDelete(req *kmsg.OffsetDeleteRequest, reply func(*kmsg.OffsetDeleteResponse)) {
	refused := func(kind errcode.Kind) *kmsg.OffsetDeleteResponse {
		resp := kmsg.NewPtrOffsetDeleteResponse()
		resp.ErrorCode = int16(kind)
		return resp
	}
	if req.Group == "" {
		reply(refused(errcode.KindInvalidGroupID))
		return
	}
	submit(c, req.Group, func(fx coordlog.Effects, s *State, reply func(*kmsg.OffsetDeleteResponse)) {
		s.OffsetDelete(fx, req, reply)
	}, func(err error) *kmsg.OffsetDeleteResponse { return refused(errcode.KindOf(err)) }, reply)
}
