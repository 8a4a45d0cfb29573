package group

import (
	"container/list"
	"slices"
	"time"
)

// Event is something that happened to a group, for people who ask why it rebalanced.
type Event struct {
	Time       time.Time
	Kind       EventKind
	Epoch      int32  // the generation or group epoch after it
	MemberID   string // whom it is about; "" the group
	InstanceID string // of a static member
	ClientID   string
	Reason     string        // why, in words
	Took       time.Duration // of RebalanceCompleted: since it began
}

// EventKind says what happened.
type EventKind string

// The kinds.
const (
	MemberJoined       EventKind = "member-joined"
	MemberRejoined     EventKind = "member-rejoined" // a known member joined again with something new, or a static one came back
	MemberLeft         EventKind = "member-left"
	MemberFenced       EventKind = "member-fenced" // its session or rebalance timeout passed, or another took its place
	RebalanceStarted   EventKind = "rebalance-started"
	RebalanceCompleted EventKind = "rebalance-completed"
	ProtocolChanged    EventKind = "protocol-changed" // upgraded to consumer, or downgraded to classic
	OffsetsReset       EventKind = "offsets-reset"    // committed from outside of the group
	GroupLoaded        EventKind = "group-loaded"     // this broker became its coordinator
	GroupEmptied       EventKind = "group-emptied"
	GroupDeleted       EventKind = "group-deleted"
)

// Bounds of what is remembered.
const (
	eventsPerGroup = 200
	maxTimelines   = 1000 // groups, of one shard; the one that was quiet for longest is forgotten first
)

// timelines are the latest events of the groups, in memory only.
type timelines struct {
	groups map[string]*timeline
	quiet  list.List // of *timeline, the one that was quiet for longest first
}

type timeline struct {
	groupID string
	events  []Event // a ring when full: the oldest is at next
	next    int
	place   *list.Element
}

func newTimelines() timelines { return timelines{groups: make(map[string]*timeline)} }

// add notes an event.
func (t *timelines) add(groupID string, e Event) {
	line := t.groups[groupID]
	if line == nil {
		if len(t.groups) >= maxTimelines {
			oldest := t.quiet.Remove(t.quiet.Front()).(*timeline)
			delete(t.groups, oldest.groupID)
		}
		line = &timeline{groupID: groupID}
		line.place = t.quiet.PushBack(line)
		t.groups[groupID] = line
	}
	t.quiet.MoveToBack(line.place)
	if len(line.events) < eventsPerGroup {
		line.events = append(line.events, e)
		return
	}
	line.events[line.next] = e
	line.next = (line.next + 1) % eventsPerGroup
}

// latest returns the event that was added last; nil: there is none.
func (t *timelines) latest(groupID string) *Event {
	line := t.groups[groupID]
	if line == nil {
		return nil
	}
	return &line.events[(line.next+len(line.events)-1)%len(line.events)]
}

// Timeline returns what is remembered of a group, the oldest event first.
func (s *State) Timeline(groupID string) []Event {
	line := s.timelines.groups[groupID]
	if line == nil {
		return nil
	}
	return slices.Concat(line.events[line.next:], line.events[:line.next])
}
