package replica

// truncationOffset says where a follower cuts its log when the leader's goes another way. leader is the leader's largest
// leader epoch not above the follower's last one, and where it ends there; own is the follower's largest one not above that.
//
//	Case A: the follower has the leader's epoch: the logs agree up to where it ends first
//	Case B: it does not: what it has of later epochs is not the leader's, and whether they agree below is asked again
//	Case C: it knows no epoch as old: up to where the leader's ends
//
// The follower's log never gets longer.
func truncationOffset(leader, own EpochEnd, logEnd int64) int64 {
	switch {
	case own.Epoch == leader.Epoch: // Case A
		return min(own.EndOffset, leader.EndOffset, logEnd)
	case own.Epoch >= 0: // Case B
		return min(own.EndOffset, logEnd)
	default: // Case C
		return min(leader.EndOffset, logEnd)
	}
}
