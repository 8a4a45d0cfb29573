package group

import (
	"bytes"
	"container/list"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// classicProtocol is one of the ways to assign partitions that a member of a classic group can work with, with what the member has to say to whoever
// assigns them.
type classicProtocol struct {
	name     string
	metadata []byte
}

// classicProtocols copies the protocols of a request. Of several with one name, the first counts.
func classicProtocols(req *kmsg.JoinGroupRequest) []classicProtocol {
	protocols := make([]classicProtocol, 0, len(req.Protocols))
	seen := make(map[string]struct{}, len(req.Protocols))
	for _, p := range req.Protocols {
		if _, found := seen[p.Name]; found {
			continue
		}
		seen[p.Name] = struct{}{}
		protocols = append(protocols, classicProtocol{name: p.Name, metadata: bytes.Clone(p.Metadata)})
	}
	return protocols
}

// classicMember is a member of a classic group.
type classicMember struct {
	memberID   string
	instanceID *string // of a static member; nil: a dynamic one
	clientID   string
	clientHost string

	rebalanceTimeout time.Duration // how long the group waits for it to join again
	sessionTimeout   time.Duration // it is gone when it was not heard of for so long

	protocolType string
	protocols    []classicProtocol // in the order of its preference
	assignment   []byte            // what the leader gave it in the latest generation that was completed

	// isNew is true from its first join until that was answered: unlike others, it may then not wait for ever, since nobody
	// can tell whether its client is still there.
	isNew     bool
	joinReply func(*kmsg.JoinGroupResponse) // parked until the members have joined; nil: it does not wait
	syncReply func(*kmsg.SyncGroupResponse) // parked until the leader has assigned; nil: it does not wait

	place    *list.Element // in its group's order
	deadline time.Time     // when its session ends
	armed    time.Time     // when the timer of the session fires, at deadline or before; zero: it is not set
}

func (m *classicMember) isStatic() bool     { return m.instanceID != nil }
func (m *classicMember) awaitingJoin() bool { return m.joinReply != nil }
func (m *classicMember) awaitingSync() bool { return m.syncReply != nil }

// metadata returns what the member says to the protocol of that name; nil when it does not know it.
func (m *classicMember) metadata(name string) []byte {
	for _, p := range m.protocols {
		if p.name == name {
			return p.metadata
		}
	}
	return nil
}

// matches reports whether the member has said the same before: names, order and metadata.
func (m *classicMember) matches(protocols []classicProtocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b classicProtocol) bool {
		return a.name == b.name && bytes.Equal(a.metadata, b.metadata)
	})
}

// vote returns the protocol that the member likes best among the candidates.
func (m *classicMember) vote(candidates map[string]struct{}) (name string, ok bool) {
	for _, p := range m.protocols {
		if _, ok := candidates[p.name]; ok {
			return p.name, true
		}
	}
	return "", false
}

// answerJoin answers the parked join, if there is one. Only the group calls it: see classicGroup.answerJoin.
func (m *classicMember) answerJoin(resp *kmsg.JoinGroupResponse) {
	if reply := m.joinReply; reply != nil {
		m.joinReply = nil
		reply(resp)
	}
}

// answerSync answers the parked sync, if there is one.
func (m *classicMember) answerSync(resp *kmsg.SyncGroupResponse) (answered bool) {
	reply := m.syncReply
	if reply == nil {
		return false
	}
	m.syncReply = nil
	reply(resp)
	return true
}

// joinRefused is an answer to JoinGroup with an error.
func joinRefused(memberID string, kind errcode.Kind) *kmsg.JoinGroupResponse {
	resp := newJoinResponse(memberID)
	resp.ErrorCode = int16(kind)
	return resp
}

func newJoinResponse(memberID string) *kmsg.JoinGroupResponse {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.Generation, resp.MemberID = -1, memberID
	return resp
}

// syncRefused is an answer to SyncGroup with an error.
func syncRefused(kind errcode.Kind) *kmsg.SyncGroupResponse {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.ErrorCode = int16(kind)
	return resp
}

// millis is a timeout of a request.
func millis(n int32) time.Duration { return time.Duration(n) * time.Millisecond }
