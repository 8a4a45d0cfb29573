package fault

// Variable is the environment variable that names the fault that is on, in a build with the tag.
const Variable = "PLANTED_FAULT"

// Name is a planted fault.
type Name string

// The faults, and where they are planted.
const (
	AckBeforeQuorum     Name = "ack-before-quorum"       // acks=all is answered when the leader has the records (broker/replica)
	AckBeforeSync       Name = "ack-before-fsync"        // what is written counts as synced (log)
	TruncateToWatermark Name = "truncate-to-watermark"   // a follower truncates to its high watermark, not by leader epoch (broker/replica)
	ElectOutsideISR     Name = "elect-outside-isr"       // any live replica may be elected (kraft/controller)
	SkipEpochCheck      Name = "skip-epoch-check"        // a fetch is not told that its log went another way (broker/replica)
	CommittedISR        Name = "isr-not-maximal"         // the high watermark ignores replicas that are only proposed for the ISR (broker/replica)
	UncleanStaysInISR   Name = "unclean-stays-in-isr"    // a broker that comes back from an unclean shutdown keeps its place (kraft/controller)
	NoSyncAfterRename   Name = "no-dirsync-after-rename" // names are not made durable (log/vfs)
	ForgetSequences     Name = "forget-sequences"        // a new leader knows no producer's sequences (log)
	AnswerBeforeReplay  Name = "answer-before-replay"    // a coordinator answers before it has replayed its partition (broker/coordlog)
)

// All are all of them, in the order above.
func All() []Name {
	return []Name{
		AckBeforeQuorum, AckBeforeSync, TruncateToWatermark, ElectOutsideISR, SkipEpochCheck,
		CommittedISR, UncleanStaysInISR, NoSyncAfterRename, ForgetSequences, AnswerBeforeReplay,
	}
}
