package group

import (
	"bytes"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// classicProtocol is one of the ways to assign partitions that a member of a classic group can work with, with what the member has to say to whoever
// assigns them.
type classicProtocol struct {
	name     string
	metadata []byte
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

	// isNew is true from its first join until that was answered: unlike others it has to be heard of while it waits.
	isNew       bool
	joinReply   func(*kmsg.JoinGroupResponse) // parked until the members have joined; nil: it does not wait
	syncReply   func(*kmsg.SyncGroupResponse) // parked until the leader has assigned; nil: it does not wait
	joinVersion int16                         // of the request that joinReply answers

	deadline time.Time // when its session ends
	armed    time.Time // when the timer of the session fires, at or before deadline; zero: it is not set
}

func (m *classicMember) isStatic() bool     { return m.instanceID != nil }
func (m *classicMember) awaitingJoin() bool { return m.joinReply != nil }
func (m *classicMember) awaitingSync() bool { return m.syncReply != nil }

// metadata returns what the member says to the protocol of that name.
func (m *classicMember) metadata(name string) ([]byte, bool) {
	for _, p := range m.protocols {
		if p.name == name {
			return p.metadata, true
		}
	}
	return nil, false
}

// matches reports whether the member would join with the same protocols as it did: names, order and metadata.
func (m *classicMember) matches(protocols []classicProtocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b classicProtocol) bool {
		return a.name == b.name && bytes.Equal(a.metadata, b.metadata)
	})
}
