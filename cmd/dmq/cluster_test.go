package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// threeBrokers is a healthy cluster of three nodes with a topic of three partitions.
func threeBrokers() *clusterState {
	s := &clusterState{ID: "c", Controller: 1, Quorum: &quorumState{Leader: 1}}
	for id := int32(1); id <= 3; id++ {
		s.Brokers = append(s.Brokers, brokerState{ID: id, State: brokerUp})
		role := roleVoter
		if id == 1 {
			role = roleLeader
		}
		s.Quorum.Replicas = append(s.Quorum.Replicas, quorumMember{ID: id, Role: role})
		replicas := []int32{id, id%3 + 1, (id+1)%3 + 1}
		s.Partitions = append(s.Partitions, partitionState{Topic: "orders", Partition: id - 1, Leader: id, Replicas: replicas, InSync: slices.Clone(replicas), MinInSync: 2})
	}
	return s
}

// without takes a broker out as its loss would.
func (s *clusterState) without(id int32) *clusterState {
	s.broker(id).State = brokerFenced
	s.member(id).silent = time.Minute
	for i := range s.Partitions {
		p := &s.Partitions[i]
		p.InSync = slices.DeleteFunc(p.InSync, func(r int32) bool { return r == id })
		if p.Leader == id {
			p.Leader = -1
			if len(p.InSync) > 0 {
				p.Leader = p.InSync[0]
			}
		}
	}
	s.count()
	return s
}

func TestJudge(t *testing.T) {
	noLeader := threeBrokers()
	noLeader.Quorum, noLeader.QuorumErr = nil, context.DeadlineExceeded
	offline := threeBrokers()
	offline.Partitions[1].Leader, offline.Partitions[1].InSync, offline.Partitions[1].LastKnown = -1, []int32{}, []int32{3}
	silent := threeBrokers()
	silent.Quorum, silent.QuorumErr, silent.broker(3).State = nil, context.DeadlineExceeded, brokerSilent
	unknown := threeBrokers()
	unknown.broker(2).State = brokerUnknown
	empty := threeBrokers()
	empty.Partitions = nil
	empty.without(3)
	moving := threeBrokers()
	moving.Brokers = append(moving.Brokers, brokerState{ID: 4, State: brokerUp})
	moving.Partitions[0].Replicas, moving.Partitions[0].Adding = []int32{1, 2, 3, 4}, []int32{4}
	moving.count()
	for _, test := range []struct {
		name   string
		s      *clusterState
		status string
		want   []string
	}{
		{"all well", threeBrokers(), healthGreen, nil},
		{"one down", threeBrokers().without(3), healthYellow, []string{
			"2 of 3 voters follow; missing: 3; when one more fails, the quorum stops", "remove-voter 3",
			"3 partitions under-replicated: orders-0, orders-1, orders-2", "broker 3 (3)", "fenced: it serves nobody; nothing was heard of it for 1m0s", "dmq broker describe 3   Gone for good: dmq broker drain 3",
		}},
		{"two down", threeBrokers().without(3).without(2), healthRed, []string{"3 partitions refusing acks=all", "broker 2 (3), broker 3 (3)"}},
		{"no quorum", noLeader, healthRed, []string{"does not answer", "no answer within 5s", "majority of its voters"}},
		{"no quorum, and a broker does not answer", silent, healthRed, []string{"1 partition whose leader does not answer: orders-2", "broker 3 | does not answer"}},
		{"no leader", offline, healthRed, []string{"1 partition without a leader: orders-1", "may lead: 3"}},
		{"not registered", unknown, healthYellow, []string{"not there, but 0 partitions name it"}},
		{"an empty one down", empty, healthYellow, []string{"Gone for good: dmq broker unregister 3"}},
		{"a replica more on its way", moving, healthGreen, nil},
	} {
		h := judge(test.s)
		var text strings.Builder
		for _, p := range h.Problems {
			text.WriteString(strings.Join([]string{p.Status, p.Subject, p.What, p.Why, p.Next}, " | ") + "\n")
		}
		if h.Status != test.status {
			t.Errorf("%s: %s, want %s\n%s", test.name, h.Status, test.status, text.String())
		}
		for _, want := range test.want {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: %q is not said:\n%s", test.name, want, text.String())
			}
		}
	}
}

// A topic's list of throttled replicas also has those of its moves that were under way.
func TestThrottling(t *testing.T) {
	s := threeBrokers()
	s.Partitions[1].Replicas, s.Partitions[1].Adding, s.Partitions[1].Removing = []int32{2, 3, 1, 4}, []int32{4}, []int32{1}
	s.Partitions = append(s.Partitions, partitionState{Topic: "other", Replicas: []int32{1, 2}, Adding: []int32{2}})
	moves := []*move{newMove(&s.Partitions[0], []int32{4, 2, 3})}
	got := make(map[string]string)
	for _, r := range throttling(moves, s.alongside(moves), 1000).Resources {
		for _, c := range r.Configs {
			got[r.ResourceName+" "+c.Name] = *c.Value
		}
	}
	want := map[string]string{
		"orders " + leaderReplicas: "0:1,0:2,0:3,1:2,1:3,1:1", "orders " + followerReplicas: "0:4,1:4",
	}
	for _, id := range []string{"1", "2", "3", "4"} {
		want[id+" "+leaderRate], want[id+" "+followerRate] = "1000", "1000"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMayUnregister(t *testing.T) {
	noQuorum := threeBrokers()
	noQuorum.Quorum, noQuorum.QuorumErr = nil, context.DeadlineExceeded
	empty := threeBrokers()
	empty.Partitions = nil
	gone := threeBrokers().without(3)
	gone.Partitions = nil
	unknown := threeBrokers()
	unknown.broker(3).State = brokerUnknown
	for _, test := range []struct {
		name string
		s    *clusterState
		id   int32
		want string // part of what is refused, or of why
		code int
	}{
		{"no such broker", empty, 4, "broker 4 not found", codeNotFound},
		{"it holds replicas", threeBrokers().without(3), 3, "broker 3 still has replicas of 3 partitions: orders-0, orders-1, orders-2", codeConflict},
		{"only its replicas are known", unknown, 3, "broker 3 still has replicas of 3 partitions", codeConflict},
		{"it is up", empty, 3, "is up", codeConflict},
		{"no quorum", noQuorum, 3, "the metadata quorum does not answer", codeUnreachable},
		{"empty and stopped", gone, 3, "", codeOK},
	} {
		err := test.s.mayUnregister(test.id)
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || explain(err).code != test.code {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestQuorumState_TimesAreTheLeaders(t *testing.T) {
	const now = 1_800_000_000_000
	replica := func(id int32, end, fetched int64) kmsg.DescribeQuorumResponseTopicPartitionReplicaState {
		return kmsg.DescribeQuorumResponseTopicPartitionReplicaState{ReplicaID: id, LogEndOffset: end, LastFetchTimestamp: fetched, LastCaughtUpTimestamp: fetched}
	}
	p := &kmsg.DescribeQuorumResponseTopicPartition{
		LeaderID: 2, LeaderEpoch: 7, HighWatermark: 95,
		CurrentVoters: []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{replica(3, 40, now-60_000), replica(2, 100, now), replica(1, 100, now-100)},
		Observers:     []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{replica(4, -1, -1)},
	}
	q := newQuorumState(p, nil, time.UnixMilli(now).Add(time.Hour)) // this machine's clock is an hour ahead
	for i, want := range []struct {
		id        int32
		role      string
		lag       int64
		following bool
	}{{1, roleVoter, 0, true}, {2, roleLeader, 0, true}, {3, roleVoter, 60, false}, {4, roleObserver, -1, false}} {
		m := q.Replicas[i]
		if m.ID != want.id || m.Role != want.role || m.Lag != want.lag || m.following() != want.following {
			t.Errorf("got %+v, want %+v", m, want)
		}
	}
	if all, following := q.voters(); all != 3 || following != 2 {
		t.Errorf("%d of %d voters follow, want 2 of 3", following, all)
	}
	if text := q.consequence(q.member(3)); text != "3 (of the other 2 voters 2 run, and 2 of them have to)" {
		t.Error(text)
	}
}

func TestPartitionFilter(t *testing.T) {
	s := threeBrokers().without(3)
	names := func(f partitionFilter) string {
		var out []string
		for i := range s.Partitions {
			if f.matches(&s.Partitions[i]) {
				out = append(out, s.Partitions[i].tp().String())
			}
		}
		return strings.Join(out, " ")
	}
	for _, test := range []struct {
		f    partitionFilter
		want string
	}{
		{partitionFilter{broker: -1}, "orders-0 orders-1 orders-2"},
		{partitionFilter{broker: -1, offline: true}, ""},
		{partitionFilter{broker: -1, offline: true, notPreferred: true}, "orders-2"},
		{partitionFilter{broker: -1, atMinISR: true}, "orders-0 orders-1 orders-2"},
		{partitionFilter{broker: 4}, ""},
	} {
		if got := names(test.f); got != test.want {
			t.Errorf("%+v: %q, want %q", test.f, got, test.want)
		}
	}
	if got := s.Partitions[2].words(); got != "under-replicated, leader-not-preferred" {
		t.Error(got)
	}
}
