package controller

import (
	"slices"

	"github.com/distributedmq/dmq/internal/fault"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// TopicPolicy is what a topic's effective configuration says about its replication.
type TopicPolicy struct {
	MinISR          int  // min.insync.replicas; a partition with fewer replicas needs only as many as it has
	UncleanElection bool // unclean.leader.election.enable
	Durable         bool // flush.messages is 1: whatever was acknowledged had been synced on every replica that counted
}

// election says which replicas may lead when the leader cannot stay.
type election int

const (
	electOnline    election = iota // the leader if it can stay, else the first replica that holds every committed record
	electPreferred                 // the first replica if it may lead, else as electOnline
	electUnclean                   // as electOnline, and in the end any replica that is there: records may be lost
)

// transition takes one partition from one state to the next. It is the only place where ISRs, eligible leader replicas and
// leaders are decided; every request and every event of a broker's life goes through it. Pure: it knows nothing but its
// fields.
//
// Of a partition these sets of replicas are kept, in the order of trust:
//
//	ISR           hold every committed record, and none is committed without them
//	ELR           left the ISR when it was, or went, below min.insync.replicas, so that nothing has been committed since:
//	              they hold every committed record too (KIP-966)
//	LastKnownELR  would be in the ELR, had they not stopped uncleanly: what they had not synced may be gone. While there is no
//	              leader the last one is the first here
//
// Invariants (the numbers are those of the reliability spec):
//
//	I5   whoever is elected other than uncleanly is of the ISR, of the ELR while the ISR is empty, or, where records are
//	     synced before they count (Durable), of the LastKnownELR: it holds every committed record.
//	I9   the ELR is kept only while the ISR is below min.insync.replicas, where the leader commits nothing.
//	I10  a replica that stopped uncleanly is in neither ISR nor ELR.
//	I11  the leader is in the ISR, and a new leader has a new leader epoch.
//	     The last ISR is never forgotten: ISR, ELR and LastKnownELR are never all empty, and without the ELR the ISR never is.
type transition struct {
	prev *image.Partition
	next image.Partition // what is wanted; its slices are replaced, never written to

	policy   TopicPolicy
	elr      bool // eligible.leader.replicas.version is 1
	election election
	canLead  func(protocol.NodeID) bool // the replica's broker is active and its directory online
	canServe func(protocol.NodeID) bool // the broker is active, whatever became of the directory
	unclean  protocol.NodeID            // stopped uncleanly; -1: none did
	// defaultDir is the directory that a new replica on a broker is known to go to; zero: not known.
	defaultDir func(protocol.NodeID) protocol.TopicID

	// renewed says that a replica begins anew, empty: what its leader has noted of it is not true any more.
	renewed bool
	lossy   bool // set by record: the new leader may miss committed records
}

const noNode protocol.NodeID = -1

// record decides the partition and returns the change, or nil when there is none.
func (x *transition) record() *metadata.PartitionChangeRecord {
	x.completeReassignment()
	x.moveDirectories()
	x.keepISR()
	x.sortOut()
	x.elect()
	x.rememberLeader()
	return x.diff()
}

// minISR is how many members an ISR needs before anything is committed.
func (x *transition) minISR() int { return min(x.policy.MinISR, len(x.next.Replicas)) }

// completeReassignment ends a reassignment whose new replicas are all in the ISR: those to be removed go. While the number of
// replicas falls it also waits for those that stay, so that the ISR does not shrink with it.
func (x *transition) completeReassignment() {
	n := &x.next
	if len(n.Adding) == 0 && len(n.Removing) == 0 {
		return
	}
	isr, replicas := without(n.ISR, n.Removing), without(n.Replicas, n.Removing)
	switch {
	case len(isr) == 0 || len(replicas) == 0:
		return
	case !containsAll(isr, n.Adding):
		return
	case len(n.Adding) < len(n.Removing) && !containsAll(isr, replicas):
		return
	}
	n.ISR, n.Replicas, n.Adding, n.Removing = isr, replicas, nil, nil
}

// moveDirectories keeps a directory for each replica.
func (x *transition) moveDirectories() {
	if slices.Equal(x.next.Replicas, x.prev.Replicas) {
		return
	}
	dirs := make([]protocol.TopicID, len(x.next.Replicas))
	for i, id := range x.next.Replicas {
		if at := slices.Index(x.prev.Replicas, id); at < 0 {
			dirs[i] = x.defaultDir(id)
		} else if at < len(x.next.Directories) {
			dirs[i] = x.next.Directories[at]
		}
	}
	x.next.Directories = dirs
}

// keepISR never empties an ISR where there is no ELR that its members could go to.
func (x *transition) keepISR() {
	if x.elr || len(x.next.ISR) > 0 {
		return
	}
	x.next.ISR = only(x.prev.ISR, x.next.Replicas)
	if len(x.next.ISR) == 0 { // from a time with ELR
		x.next.ISR = only(union(x.prev.ELR, x.prev.LastKnownELR), x.next.Replicas)
	}
}

// sortOut finds who left the ISR and still holds every committed record.
func (x *transition) sortOut() {
	n := &x.next
	if !x.elr || len(n.ISR) >= x.minISR() {
		n.ELR, n.LastKnownELR = nil, nil
		return
	}
	left := only(without(union(n.ELR, x.prev.ISR), n.ISR), n.Replicas)
	unclean := []protocol.NodeID{x.unclean}
	n.ELR = without(left, unclean)
	n.LastKnownELR = only(without(union(n.LastKnownELR, only(left, unclean)), n.ISR), n.Replicas)
}

// elect finds the leader.
func (x *transition) elect() {
	n := &x.next
	leader, from := x.candidate()
	n.Leader = leader
	if leader == noNode {
		return
	}
	switch from {
	case fromISR:
	case fromELR, fromLastKnown:
		n.ISR = []protocol.NodeID{leader}
		n.ELR = without(n.ELR, n.ISR)
		n.LastKnownELR = without(n.LastKnownELR, n.ISR)
	case fromAny:
		x.lossy = true
		n.ISR, n.ELR, n.LastKnownELR = []protocol.NodeID{leader}, nil, nil
		n.LeaderRecoveryState = metadata.Recovering
	}
	if len(n.ISR) >= x.minISR() {
		n.ELR, n.LastKnownELR = nil, nil
	} else {
		n.LastKnownELR = without(n.LastKnownELR, n.ELR)
	}
}

// source is the set that a leader came from.
type source int

const (
	fromISR source = iota
	fromELR
	fromLastKnown // with all that was committed, since it had been synced
	fromAny
)

func (x *transition) candidate() (protocol.NodeID, source) {
	n := &x.next
	trusted, from := n.ISR, fromISR
	if len(trusted) == 0 {
		trusted, from = n.ELR, fromELR
	}
	leads := func(id protocol.NodeID) bool {
		return (slices.Contains(trusted, id) || fault.On(fault.ElectOutsideISR)) && x.canLead(id)
	}
	if x.election == electPreferred && leads(n.Replicas[0]) {
		return n.Replicas[0], from
	}
	if leads(x.prev.Leader) {
		return x.prev.Leader, from
	}
	if i := slices.IndexFunc(n.Replicas, leads); i >= 0 {
		return n.Replicas[i], from
	}
	if id, from := x.lastKnown(); id != noNode {
		return id, from
	}
	if x.election == electUnclean {
		return x.anyReplica(), fromAny
	}
	return noNode, fromISR
}

// lastKnown finds a leader where ISR and ELR have none. Where everything that was acknowledged had been synced, each member
// of the LastKnownELR still has it. Else the last leader may lead once nobody better is left to wait for, as in Kafka, and
// what it had not synced is lost.
func (x *transition) lastKnown() (protocol.NodeID, source) {
	n := &x.next
	if !x.elr || len(n.ISR) > 0 || len(n.LastKnownELR) == 0 {
		return noNode, fromISR
	}
	if x.policy.Durable {
		if i := slices.IndexFunc(n.LastKnownELR, x.canLead); i >= 0 {
			return n.LastKnownELR[i], fromLastKnown
		}
		return noNode, fromISR
	}
	if last := n.LastKnownELR[0]; len(n.ELR) == 0 && x.canLead(last) {
		return last, fromAny
	}
	return noNode, fromISR
}

// anyReplica finds a leader for an unclean election: in the end even one whose directory is gone, which begins anew where
// its broker has room.
func (x *transition) anyReplica() protocol.NodeID {
	n := &x.next
	if i := slices.IndexFunc(n.Replicas, x.canLead); i >= 0 {
		return n.Replicas[i]
	}
	i := slices.IndexFunc(n.Replicas, x.canServe)
	if i < 0 {
		return noNode
	}
	x.setDirectory(n.Replicas[i], x.defaultDir(n.Replicas[i]))
	return n.Replicas[i]
}

// setDirectory notes where a replica lies.
func (x *transition) setDirectory(id protocol.NodeID, dir protocol.TopicID) {
	i := slices.Index(x.next.Replicas, id)
	if i < 0 {
		return
	}
	dirs := make([]protocol.TopicID, len(x.next.Replicas))
	copy(dirs, x.next.Directories)
	dirs[i] = dir
	x.next.Directories = dirs
}

// rememberLeader puts the leader that a partition lost first in its LastKnownELR.
func (x *transition) rememberLeader() {
	n := &x.next
	if !x.elr || n.Leader != noNode || x.prev.Leader == noNode {
		return
	}
	last := []protocol.NodeID{x.prev.Leader}
	n.LastKnownELR = append(only(last, n.Replicas), without(n.LastKnownELR, last)...)
}

// diff makes the record. A leader epoch also ends when a replica is taken away, so that nobody goes on with it, and when one
// begins anew: the next leader epoch knows nothing of its followers, and fences what the replica fetched before. An unclean
// election begins one in any case: followers are told by it that what they hold of earlier ones may have been given up.
func (x *transition) diff() *metadata.PartitionChangeRecord {
	p, n := x.prev, &x.next
	r := &metadata.PartitionChangeRecord{}
	changed := false
	nodes := func(to *[]protocol.NodeID, before, now []protocol.NodeID) {
		if !slices.Equal(before, now) {
			*to = append([]protocol.NodeID{}, now...)
			changed = true
		}
	}
	nodes(&r.ISR, p.ISR, n.ISR)
	nodes(&r.ELR, p.ELR, n.ELR)
	nodes(&r.LastKnownELR, p.LastKnownELR, n.LastKnownELR)
	nodes(&r.Replicas, p.Replicas, n.Replicas)
	nodes(&r.Adding, p.Adding, n.Adding)
	nodes(&r.Removing, p.Removing, n.Removing)
	if !slices.Equal(p.Directories, n.Directories) {
		r.Directories = append([]protocol.TopicID{}, n.Directories...)
		changed = true
	}
	if n.Leader != p.Leader || !containsAll(n.Replicas, p.Replicas) || x.lossy || x.renewed && n.Leader != image.NoLeader {
		r.Leader = &n.Leader
		changed = true
	}
	if n.LeaderRecoveryState != p.LeaderRecoveryState || x.lossy {
		r.LeaderRecoveryState = &n.LeaderRecoveryState
		changed = true
	}
	if !changed {
		return nil
	}
	return r
}

// without lists what is in list and not in gone.
func without(list, gone []protocol.NodeID) []protocol.NodeID {
	return filter(list, func(id protocol.NodeID) bool { return !slices.Contains(gone, id) })
}

// only lists what is in list and in allowed.
func only(list, allowed []protocol.NodeID) []protocol.NodeID {
	return filter(list, func(id protocol.NodeID) bool { return slices.Contains(allowed, id) })
}

// filter lists what is kept: the list itself when that is everything.
func filter(list []protocol.NodeID, keep func(protocol.NodeID) bool) []protocol.NodeID {
	drop := func(id protocol.NodeID) bool { return !keep(id) }
	if !slices.ContainsFunc(list, drop) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), drop)
}

func union(a, b []protocol.NodeID) []protocol.NodeID {
	more := without(b, a)
	if len(more) == 0 {
		return a
	}
	return append(slices.Clone(a), more...)
}

func containsAll(list, members []protocol.NodeID) bool {
	return !slices.ContainsFunc(members, func(id protocol.NodeID) bool { return !slices.Contains(list, id) })
}
