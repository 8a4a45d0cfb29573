package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Fault is a kind of fault.
type Fault string

// The faults.
const (
	Kill           Fault = "kill"           // kill -9 of one node
	KillLeader     Fault = "killleader"     // of the one that leads a partition
	KillController Fault = "killcontroller" // of the one that leads the quorum
	KillMajority   Fault = "killmajority"   // of two at once
	KillAll        Fault = "killall"        // of all at once
	Pause          Fault = "pause"          // SIGSTOP of one
	PauseLeader    Fault = "pauseleader"    // of the one that leads a partition
	Partition      Fault = "partition"      // one node and the others do not hear each other; clients hear all
	Isolate        Fault = "isolate"        // one node hears nobody and nobody hears it
	OneWay         Fault = "oneway"         // one node does not hear the others, who hear it
	Deaf           Fault = "deaf"           // one node hears nobody, not even clients
	Bridge         Fault = "bridge"         // two nodes do not hear each other; the third hears both
	Flap           Fault = "flap"           // one node and the others hear each other now and then
	Loss           Fault = "loss"           // packets between all nodes are lost at random
	Delay          Fault = "delay"          // bytes between all nodes are held back
	PowerCut       Fault = "powercut"       // of one node and its disk
	PowerCutAll    Fault = "powercutall"    // of all nodes and their disks at once
	Reboot         Fault = "reboot"         // of one node whose power was cut and is back at once, while the controller is killed
	DiskFull       Fault = "diskfull"       // of one node
	Laggard        Fault = "laggard"        // one node's disk is full until it is out of sync; then the leader of a partition is killed
	SlowDisk       Fault = "slowdisk"       // of one node
	Restart        Fault = "restart"        // a rolling restart
	Reassign       Fault = "reassign"       // a replica of a partition goes and comes back, while other faults go on
)

// All are all kinds.
func All() []Fault {
	return []Fault{
		Kill, KillLeader, KillController, KillMajority, KillAll, Pause, PauseLeader, Partition, Isolate, OneWay, Deaf, Bridge, Flap, Loss, Delay,
		PowerCut, PowerCutAll, Reboot, DiskFull, Laggard, SlowDisk, Restart, Reassign,
	}
}

// ParseFaults reads a list of kinds with commas; "all" and "" are all.
func ParseFaults(list string) ([]Fault, error) {
	if list == "" || list == "all" {
		return All(), nil
	}
	var faults []Fault
	for name := range strings.SplitSeq(list, ",") {
		f := Fault(strings.TrimSpace(name))
		if !slices.Contains(All(), f) {
			return nil, fmt.Errorf("unknown fault %q: one of %v", name, All())
		}
		faults = append(faults, f)
	}
	return faults, nil
}

// Step is one fault of a schedule.
type Step struct {
	Fault Fault
	Calm  time.Duration // before it
	Lasts time.Duration
	Pick  uint32 // decides on whom
}

// Schedule makes the faults of a run: the same for the same seed. Every kind comes before one comes again.
func Schedule(seed uint64, faults []Fault, length time.Duration) []Step {
	rng := rand.New(rand.NewPCG(seed, 0x6368616f73))
	between := func(low, high time.Duration) time.Duration { return low + time.Duration(rng.Int64N(int64(high-low))) }
	var steps []Step
	var bag []Fault
	for took := time.Duration(0); took < length && len(faults) > 0; {
		if len(bag) == 0 {
			bag = slices.Clone(faults)
			rng.Shuffle(len(bag), func(i, j int) { bag[i], bag[j] = bag[j], bag[i] })
		}
		s := Step{Fault: bag[0], Calm: between(300*time.Millisecond, 2500*time.Millisecond), Pick: rng.Uint32()}
		s.Lasts = between(s.Fault.lasts())
		bag = bag[1:]
		steps = append(steps, s)
		took += s.Calm + s.Lasts + s.Fault.besides()
	}
	return steps
}

// lasts is how long a fault may last. A pause may end before the node is fenced, and after.
func (f Fault) lasts() (low, high time.Duration) {
	switch f {
	case Pause, PauseLeader, Partition, Isolate, OneWay, Deaf, Bridge, Flap:
		return time.Second, 8 * time.Second
	case Kill, KillLeader, KillController, PowerCut:
		return 100 * time.Millisecond, 5 * time.Second
	case KillMajority, KillAll, PowerCutAll, Reboot, Laggard, Restart, Reassign:
		return 100 * time.Millisecond, 2 * time.Second
	default:
		return 2 * time.Second, 5 * time.Second
	}
}

// besides is about how long a fault takes beside the time it lasts.
func (f Fault) besides() time.Duration {
	switch f {
	case Laggard, Restart:
		return 4 * time.Second
	default:
		return 0
	}
}
