package replica

import "github.com/distributedmq/dmq/protocol"

// overtaken says whether a follower's high watermark means nothing any more: an unclean election began the leader epoch unclean (0:
// none did), and known, the newest one of which the follower has a record or in which it agreed with a leader, is older. Who was
// elected may not have what was committed before. So before it fetches anything the follower forgets its high watermark, durably,
// and believes what it is told by that leader and those after it. A truncation is never below a high watermark, then, and where one
// is asked for all the same it is refused: no election explains it.
//
// It makes no difference whether the follower was there, how many elections it missed, and who leads by now: it is the newest
// unclean one that counts, and the metadata keep its leader epoch for ever.
func overtaken(known, unclean protocol.LeaderEpoch) bool { return unclean > 0 && known < unclean }

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
