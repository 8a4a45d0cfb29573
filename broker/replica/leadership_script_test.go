package replica

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/distributedmq/dmq/internal/transcript"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// TestLeadership_Transcripts plays what a leader does, and after each command how things stand.
func TestLeadership_Transcripts(t *testing.T) {
	transcript.Play(t, "testdata/leadership/*.txt", func(*testing.T) func(line string) string {
		s := &leaderScript{now: time.Unix(1000, 0), known: map[protocol.NodeID]protocol.BrokerEpoch{1: 10, 2: 20, 3: 30}}
		return func(line string) string { return s.run(strings.Fields(line)) + s.state() }
	})
}

// leaderScript is broker 1, which leads a partition of brokers 1 to 3, and what it knows.
type leaderScript struct {
	now    time.Time
	known  map[protocol.NodeID]protocol.BrokerEpoch // the brokers that are not fenced
	ld     *leadership
	last   *proposal // the last one made
	end    int64     // of the log, all of it synced
	start  int64     // of the leader epoch
	hw     int64
	minISR int
}

func (s *leaderScript) eligible(id protocol.NodeID) (protocol.BrokerEpoch, bool) {
	e, ok := s.known[id]
	return e, ok
}

// run plays a command and says what it gave; words are a verb and name=value pairs.
func (s *leaderScript) run(words []string) (note string) {
	arg := func(name string) string {
		for _, w := range words[1:] {
			if v, ok := strings.CutPrefix(w, name+"="); ok {
				return v
			}
		}
		return ""
	}
	num := func(name string) int64 { n, _ := strconv.ParseInt(arg(name), 10, 64); return n }
	ids := func(name string) (out []protocol.NodeID) {
		for w := range strings.SplitSeq(arg(name), ",") {
			n, _ := strconv.Atoi(w)
			out = append(out, protocol.NodeID(n))
		}
		return out
	}
	propose := func(p *proposal) {
		if p != nil {
			s.last = p
			note += fmt.Sprintf("asks for %v at partition epoch %d\n", p.isr, p.partitionEpoch)
		}
	}
	switch words[0] {
	case "lead": // a new leader epoch
		s.minISR = max(1, int(num("min")))
		s.start = s.end
		s.ld = takeLead(s.role(int32(num("epoch")), int32(num("partition-epoch")), ids("isr")), 30*time.Second, s.now)
	case "metadata": // of the same leader epoch
		now := s.role(int32(s.ld.role.leaderEpoch), int32(num("partition-epoch")), ids("isr"))
		if !now.newerThan(s.ld.role) {
			note = "known\n"
			break
		}
		s.ld.update(now)
	case "append":
		s.end += num("n")
	case "fetch":
		f := s.ld.follower(ids("from")[0])
		epoch, _ := s.eligible(f.id)
		if e := num("broker-epoch"); e != 0 {
			epoch = protocol.BrokerEpoch(e)
		}
		known := s.known[f.id]
		if err := f.note(fetchState{brokerEpoch: epoch, end: num("at"), leaderEnd: s.end, at: s.now}, known); err != nil {
			return errcode.Name(errcode.Of(err)) + "\n"
		}
		propose(s.ld.expand(f, 10, s.hw, s.start, s.eligible))
	case "pass":
		d, _ := time.ParseDuration(words[1])
		s.now = s.now.Add(d)
		propose(s.ld.shrink(10, s.end, s.now))
	case "fence":
		delete(s.known, ids("id")[0])
	case "register":
		s.known[ids("id")[0]] = protocol.BrokerEpoch(num("epoch"))
	case "answer":
		d := decision{kind: errcode.Kind(num("code")), leaderEpoch: s.ld.role.leaderEpoch, partitionEpoch: s.last.partitionEpoch + 1, isr: s.last.members()}
		if s.ld.answered(s.last, d) {
			note = "asks again\n"
		}
	default:
		note = "no such command\n"
	}
	s.hw = s.ld.highWatermark(s.hw, s.end, s.end, s.ld.role.underMinISR(atLeast(s.minISR), "t"), s.now, s.eligible)
	return note
}

func (s *leaderScript) role(epoch, partitionEpoch int32, isr []protocol.NodeID) *role {
	return newRole(self, &image.Partition{Leader: self, LeaderEpoch: epoch, PartitionEpoch: partitionEpoch, Replicas: nodes(1, 2, 3), ISR: isr})
}

func (s *leaderScript) state() string {
	r := s.ld.role
	out := fmt.Sprintf("isr %v at partition epoch %d", r.isr, r.partitionEpoch)
	if !slices.Equal(r.isr, r.maximalISR) {
		out += fmt.Sprintf(", maximal %v", r.maximalISR)
	}
	if s.ld.pending != nil {
		out += ", pending"
	}
	return fmt.Sprintf("%s; log end %d, high watermark %d\n", out, s.end, s.hw)
}
