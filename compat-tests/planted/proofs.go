package planted

import (
	"time"

	"github.com/distributedmq/dmq/compat-tests/chaos"
	"github.com/distributedmq/dmq/internal/fault"
)

// Proof is how a fault is found.
type Proof struct {
	Fault   fault.Name
	Package string // of the room, from the root of the repository
	Tests   string // of it that have to fail; a pattern of go test's -run
	Runs    *Runs  // nil: only in the room
}

// Runs are chaos runs, of which one has to find the fault.
type Runs struct {
	Faults     []chaos.Fault
	Duration   time.Duration
	Properties map[string]string
	OneByOne   bool
	Most       int // so many runs are tried
}

// osFlush is Apache Kafka's default, where records are not synced before they are acknowledged.
var osFlush = map[string]string{"log.flush.interval.messages": "9223372036854775807"}

// Proofs are those of all faults.
func Proofs() []Proof {
	return []Proof{
		{
			fault.AckBeforeQuorum, "./broker/replica", "TestRole_Acked|TestLeader_",
			&Runs{[]chaos.Fault{chaos.Isolate, chaos.KillLeader, chaos.Partition, chaos.PauseLeader}, 30 * time.Second, nil, false, 5},
		},
		{
			fault.AckBeforeSync, "./log", "TestLog_SurvivesEveryFailure|TestLog_Model",
			&Runs{[]chaos.Fault{chaos.PowerCutAll}, 15 * time.Second, nil, false, 5},
		},
		{fault.TruncateToWatermark, "./broker/replica", "TestFollow_", nil},
		{
			fault.ElectOutsideISR, "./kraft/controller", "TestTranscripts|TestModel",
			&Runs{[]chaos.Fault{chaos.Laggard}, 30 * time.Second, nil, false, 6},
		},
		{
			fault.SkipEpochCheck, "./broker/replica", "TestLeader_ADivergingFetchSaysNothing|TestRead_Epochs",
			&Runs{[]chaos.Fault{chaos.KillLeader, chaos.PauseLeader, chaos.Isolate}, 30 * time.Second, nil, false, 5},
		},
		{fault.CommittedISR, "./broker/replica", "TestLeadership_Model|TestISR_", nil},
		{
			fault.UncleanStaysInISR, "./kraft/controller", "TestTranscripts|TestModel",
			&Runs{[]chaos.Fault{chaos.Reboot}, 30 * time.Second, osFlush, true, 6},
		},
		{fault.NoSyncAfterRename, "./log/vfs", "TestCrashClone_RenameIsAtomic|TestInject_CountsAndLabels", nil},
		{
			fault.ForgetSequences, "./log", "TestAppendAsFollower_",
			&Runs{[]chaos.Fault{chaos.KillLeader, chaos.PauseLeader}, 30 * time.Second, nil, false, 6},
		},
		{
			fault.AnswerBeforeReplay, "./broker/coordlog", "TestLoad_Transactions|TestLoad_CompactedLog",
			&Runs{[]chaos.Fault{chaos.Kill, chaos.Pause}, 30 * time.Second, nil, false, 5},
		},
	}
}
