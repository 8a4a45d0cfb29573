package fetcher

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func TestFollows(t *testing.T) {
	replicas := []protocol.NodeID{1, 2, 3}
	for _, tt := range []struct {
		name   string
		self   protocol.NodeID
		leader protocol.NodeID
		want   bool
	}{
		{"another leads", 1, 2, true},
		{"this broker leads", 1, 1, false},
		{"nobody leads", 1, image.NoLeader, false},
		{"no replica here", 4, 2, false},
	} {
		if got := follows(tt.self, &image.Partition{Replicas: replicas, Leader: tt.leader}); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		0: 10 * time.Millisecond, 1: 10 * time.Millisecond, 2: 20 * time.Millisecond, 5: 160 * time.Millisecond, 8: time.Second, math.MaxInt: time.Second,
	} {
		if got := backoff(failures, time.Second); got != want {
			t.Errorf("after %d failures %v, want %v", failures, got, want)
		}
	}
	if got := backoff(1, time.Millisecond); got != time.Millisecond {
		t.Errorf("got %v, want no more than is configured", got)
	}
}

// leader is the other half of a session, as fetchsession keeps it: what is fetched, and from where.
type leader map[key]int64

func (l leader) take(req *kmsg.FetchRequest) {
	if req.SessionEpoch == 0 {
		clear(l)
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			l[key{t.TopicID, p.Partition}] = p.FetchOffset
		}
	}
	for _, t := range req.ForgottenTopics {
		for _, p := range t.Partitions {
			delete(l, key{t.TopicID, p})
		}
	}
}

type sessionTest struct {
	t *testing.T
	session
	leader leader
}

// request builds one, and returns what it names and forgets.
func (s *sessionTest) request(wantEpoch int32) (named, forgotten int) {
	s.t.Helper()
	req := kmsg.NewPtrFetchRequest()
	s.build(req, 100)
	if req.SessionEpoch != wantEpoch {
		s.t.Errorf("session epoch %d, want %d", req.SessionEpoch, wantEpoch)
	}
	for _, t := range req.Topics {
		named += len(t.Partitions)
	}
	for _, t := range req.ForgottenTopics {
		forgotten += len(t.Partitions)
	}
	s.leader.take(req)
	want := make(leader)
	for k, p := range s.parts {
		want[k] = p.at.LogEndOffset
	}
	if d := cmp.Diff(want, s.leader, cmp.AllowUnexported(key{})); d != "" {
		s.t.Errorf("what the leader fetches is not what is wanted (-want +got):\n%s", d)
	}
	return named, forgotten
}

func (s *sessionTest) answer(id int32, kind errcode.Kind) bool {
	return s.answered(&kmsg.FetchResponse{SessionID: id, ErrorCode: int16(kind)})
}

func partitionAt(topic byte, index int32, offset int64) *followed {
	return &followed{
		TopicIDPartition: protocol.TopicIDPartition{ID: protocol.TopicID{topic}, Partition: index},
		at:               replica.Position{LogEndOffset: offset, LastEpoch: -1},
	}
}

func TestSession(t *testing.T) {
	s := &sessionTest{t: t, leader: make(leader)}
	expect := func(what string, named, forgotten, wantNamed, wantForgotten int) {
		t.Helper()
		if named != wantNamed || forgotten != wantForgotten {
			t.Errorf("%s: named %d, forgot %d, want %d, %d", what, named, forgotten, wantNamed, wantForgotten)
		}
	}
	a, b, c := partitionAt(1, 0, 5), partitionAt(1, 1, 6), partitionAt(2, 0, 7)
	for _, p := range []*followed{a, b, c} {
		s.want(p)
	}
	n, f := s.request(0)
	expect("the first request", n, f, 3, 0)
	s.answer(9, errcode.KindNone)
	n, f = s.request(1)
	expect("nothing has changed", n, f, 0, 0)
	s.answer(9, errcode.KindNone)
	a.at.LogEndOffset = 8
	s.want(a)
	s.want(b) // is where it was
	n, f = s.request(2)
	expect("one has moved", n, f, 1, 0)
	s.answer(9, errcode.KindNone)
	s.drop(b)
	s.drop(c)
	s.want(c) // and back before it was forgotten
	n, f = s.request(3)
	expect("one is dropped, one comes back", n, f, 1, 1)
	s.answer(9, errcode.KindNone)
	again := partitionAt(1, 0, 3) // in another leader epoch
	s.drop(a)
	s.want(again)
	s.drop(a)
	n, f = s.request(4)
	expect("one is followed in another epoch", n, f, 1, 0)
	if s.answer(0, errcode.KindInvalidFetchSessionEpoch) {
		t.Error("an answer that refuses the session is taken for one with partitions")
	}
	n, f = s.request(0)
	expect("the session went wrong", n, f, 2, 0)
	if s.id != 9 {
		t.Errorf("the session that went wrong is %d, want it named", s.id)
	}
	s.answer(10, errcode.KindNone)
	s.drop(c)
	n, f = s.request(1)
	expect("in the new session", n, f, 0, 1)
	if s.answer(0, errcode.KindFetchSessionIDNotFound); s.id != 0 {
		t.Errorf("session %d is named, which the leader does not know", s.id)
	}
	s.request(0)
	for range 2 { // no room for a session: everything is named each time
		s.answer(0, errcode.KindNone)
		n, f = s.request(0)
		expect("without a session", n, f, 1, 0)
	}
	s.answer(11, errcode.KindNone)
	s.epoch = math.MaxInt32
	s.request(math.MaxInt32)
	s.answer(11, errcode.KindNone)
	s.request(1)
}

func TestTransient(t *testing.T) {
	passing := []errcode.Kind{errcode.KindNotLeaderForPartition, errcode.KindUnknownLeaderEpoch, errcode.KindUnknownTopicID}
	for _, kind := range []errcode.Kind{errcode.KindNotLeaderForPartition, errcode.KindUnknownLeaderEpoch, errcode.KindUnknownTopicID, errcode.KindCorruptMessage, errcode.KindKafkaStorageError} {
		if got := transient(kind); got != slices.Contains(passing, kind) {
			t.Errorf("%d: got %v", kind, got)
		}
	}
}
