package group

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// OffsetCommit commits offsets: v2 to v10. Topics in the request have a name and, if it is known, an id, and exist with all
// the partitions that are named; the empty group id is allowed. One answer is for the whole request, except that metadata may be
// too large for single partitions.
//
//   - A commit without a member (generation -1) is accepted while the group has no members. It makes a simple group of a
//     group id that is not known.
//   - v2 to v4 may say how long the offsets are to be kept.
//   - v9 is for members of consumer groups (KIP-848), who may not use less. It also says GROUP_ID_NOT_FOUND instead of
//     ILLEGAL_GENERATION.
func (s *State) OffsetCommit(fx coordlog.Effects, c Caller, req *kmsg.OffsetCommitRequest, reply func(*kmsg.OffsetCommitResponse)) {
	resp := commitResponse(req)
	if err := s.commitOffsets(fx, c, req, resp); err != nil {
		failCommit(resp, err)
	}
	reply(resp)
}

// commitResponse returns an answer with all partitions of the request and no error.
func commitResponse(req *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	for i := range req.Topics {
		from, to := &req.Topics[i], &resp.Topics[i]
		to.Topic, to.TopicID = from.Topic, from.TopicID
		to.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(from.Partitions))
		for j := range from.Partitions {
			to.Partitions[j].Partition = from.Partitions[j].Partition
		}
	}
	return resp
}

func failCommit(resp *kmsg.OffsetCommitResponse, err error) {
	code := errcode.Of(err)
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			resp.Topics[i].Partitions[j].ErrorCode = code
		}
	}
}

func (s *State) commitOffsets(fx coordlog.Effects, c Caller, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) error {
	g, check, err := s.checkCommit(req)
	if err != nil {
		return err
	}
	if g != nil {
		g.renew(fx, req.MemberID)
	}
	records, err := s.commitRecords(fx, req, resp, check)
	if err != nil || len(records) == 0 {
		return err
	}
	if err := appendAnswered(fx, records); err != nil {
		return err
	}
	s.env.Counters.OffsetCommits.Add(int64(len(records)))
	if g != nil && req.Generation < 0 && g.protocolType() != "" {
		s.noteReset(g, Event{
			Time: fx.Now(), Kind: OffsetsReset, Epoch: g.groupEpoch(), ClientID: c.ClientID,
			Reason: fmt.Sprintf("offsets committed from outside of the group: %d", len(records)),
		})
	}
	return nil
}

// noteReset notes that a client has committed for a group that had members and has none. A client that goes on doing so, like a consumer
// that assigns partitions to itself, is noted once.
func (s *State) noteReset(g group, e Event) {
	if last := s.timelines.latest(g.id()); last != nil && last.Kind == OffsetsReset && last.ClientID == e.ClientID {
		*last = e
		return
	}
	s.timelines.add(g.id(), e)
}

// checkCommit returns the group that the request commits for, nil where it does not exist yet and may.
func (s *State) checkCommit(req *kmsg.OffsetCommitRequest) (group, partitionCheck, error) {
	g := s.groups[req.Group]
	switch {
	case g != nil:
		check, err := g.checkCommit(commit{
			memberID: req.MemberID, instanceID: req.InstanceID, generation: req.Generation, version: req.Version,
		})
		return g, check, err
	case req.Generation < 0:
		return nil, nil, nil
	case req.Version >= 9:
		return nil, nil, groupNotFound(req.Group)
	default:
		return nil, nil, errcode.New(errcode.KindIllegalGeneration, "group %q does not exist", req.Group)
	}
}

// commitRecords returns the records of what may be committed, and notes in the answer what may not. They are good until the
// next call.
func (s *State) commitRecords(
	fx coordlog.Effects, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, check partitionCheck,
) ([]coordlog.Record, error) {
	o := &s.offsets
	o.records, o.bytes = o.records[:0], o.bytes[:0]
	now := fx.Now().UnixMilli()
	value := schema.OffsetCommitValue{CommitTimestampMillis: now, ExpireTimestampMillis: expireTimestamp(now, req.RetentionTimeMillis)}
	limit := s.env.Settings().OffsetMetadataMaxBytes
	for i := range req.Topics {
		t := &req.Topics[i]
		value.TopicID = t.TopicID
		for j := range t.Partitions {
			p := &t.Partitions[j]
			value.Offset, value.LeaderEpoch, value.Metadata = p.Offset, p.LeaderEpoch, ""
			if p.Metadata != nil {
				value.Metadata = *p.Metadata
			}
			if tooLong(value.Metadata, limit) {
				resp.Topics[i].Partitions[j].ErrorCode = int16(errcode.KindOffsetMetadataTooLarge)
				continue
			}
			if check != nil {
				if err := check(t.Topic, protocol.TopicID(t.TopicID), p.Partition); err != nil {
					return nil, err
				}
			}
			o.add(req.Group, t.Topic, p.Partition, &value)
		}
	}
	return o.records, nil
}

// add appends a record to the scratch space.
func (o *offsets) add(group, topic string, partition int32, value *schema.OffsetCommitValue) {
	start := len(o.bytes)
	o.bytes = schema.AppendOffsetCommitKey(o.bytes, group, topic, partition)
	middle := len(o.bytes)
	o.bytes = value.Append(o.bytes)
	o.records = append(o.records, coordlog.NewRecord(o.bytes[start:middle], o.bytes[middle:]))
}

// expireTimestamp is when an offset expires that is to be kept for so long; -1: the broker's retention holds.
func expireTimestamp(now, retentionMillis int64) int64 {
	if retentionMillis == -1 {
		return -1
	}
	return max(0, now+min(retentionMillis, math.MaxInt64-now))
}

// tooLong reports whether a text has more than limit characters as Java counts them: UTF-16 units.
func tooLong(text string, limit int) bool {
	if len(text) <= limit {
		return false
	}
	units := 0
	for _, r := range text {
		units++
		if r > 0xffff {
			units++
		}
	}
	return units > limit
}

// appendAnswered appends records on behalf of a client, whom an error is to tell what Kafka would.
func appendAnswered(fx coordlog.Effects, records []coordlog.Record) error {
	if err := fx.Append(records...); err != nil {
		return errcode.New(appendFailure(err), "%w", err)
	}
	return nil
}

// groupNotFound is the error about a group that there is not.
func groupNotFound(groupID string) error {
	return errcode.New(errcode.KindGroupIDNotFound, "group %q does not exist", groupID)
}
