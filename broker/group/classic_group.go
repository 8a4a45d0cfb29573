package group

// classicState is where a classic group stands.
type classicState uint8

// The states. They change so:
//
//	Empty ─► PreparingRebalance ─► CompletingRebalance ─► Stable
//	  ▲               │ ▲ ▲                 │               │
//	  └───────────────┘ │ └─────────────────┘               │
//	                    └───────────────────────────────────┘
const (
	// classicEmpty: there are no members; the group is kept for its offsets.
	classicEmpty classicState = iota
	// classicPreparing: the members are waited for to join; who has joined waits.
	classicPreparing
	// classicCompleting: the members have joined a generation, and the leader is waited for to assign the partitions.
	classicCompleting
	// classicStable: every member has an assignment or can have it.
	classicStable
	// classicDead: the group is removed.
	classicDead
)

// String returns Kafka's name of the state.
func (s classicState) String() string {
	switch s {
	case classicEmpty:
		return "Empty"
	case classicPreparing:
		return "PreparingRebalance"
	case classicCompleting:
		return "CompletingRebalance"
	case classicStable:
		return "Stable"
	default:
		return "Dead"
	}
}

// classicGroup is a group whose members assign the partitions among themselves: one of them, the leader, does.
//
// Invariants
//
//  1. awaitingJoin is the number of members with a parked join, and supported counts the members that can work with a protocol.
//  2. pendingJoin and the members have no id in common; pendingSync is part of the members.
//  3. There is a leader when there are members, and it is one of them.
type classicGroup struct {
	groupID    string
	phase      classicState
	changedAt  int64 // when it came into that state, in milliseconds; -1: not known, from an old record
	generation int32
	typ        string  // the protocol type of its members; "" until there was one
	protocol   *string // that the members of the generation have agreed upon; nil: none
	leader     string  // member id; "": none

	members      map[string]*classicMember
	order        []*classicMember    // the same, in the order in which they came
	static       map[string]string   // instance id → member id
	pendingJoin  map[string]struct{} // ids that were given out and have not joined yet
	pendingSync  map[string]struct{} // members that have not synced since the generation began
	awaitingJoin int
	supported    map[string]int // protocol → members that know it

	// newMember is set when one joins during the initial delay, which is extended then.
	newMember bool
	// topics are those that the members are subscribed to; nil: not known.
	topics map[string]struct{}
}

// newClassicGroup returns an empty group.
func newClassicGroup(groupID string, now int64) *classicGroup {
	return &classicGroup{
		groupID: groupID, changedAt: now,
		members: make(map[string]*classicMember), static: make(map[string]string),
		pendingJoin: make(map[string]struct{}), pendingSync: make(map[string]struct{}), supported: make(map[string]int),
	}
}
