package replica_test

import (
	"testing"
	"time"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/broker/throttle"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
)

func TestRead_ThrottledFollowersAreHeldBack(t *testing.T) {
	w := newWorldWith(t, replica.Options{Quota: throttle.Quota{BytesPerSec: 0, Windows: 11, Window: time.Hour}})
	w.replicate(1, 2)
	w.mustProduceAcked(batch("a"))
	w.publish(&metadata.ConfigRecord{ResourceType: image.ResourceTopic, ResourceName: topic, Name: "leader.replication.throttled.replicas", Value: new("0:1")})
	records := func(res replica.ReadResult) int { return len(values(t, res, 0)) }
	if n := records(w.follow(3, 0)); n != 1 {
		t.Fatalf("got %d records before anything was counted, want 1", n)
	}
	if n := records(w.follow(3, 0)); n != 0 {
		t.Errorf("got %d records above the quota, want none", n)
	}
	if n := records(w.follow(2, 0)); n != 1 {
		t.Errorf("a follower in sync got %d records, want 1: it is not held back", n)
	}
	q := from(tp0, 0)
	q.CurrentLeaderEpoch = 0
	waited, wait := w.await(follower(3), soon, q)
	if isDone(waited) {
		t.Error("a follower that is held back does not wait")
	}
	wait.Cancel()
	w.SetQuota(throttle.Quota{BytesPerSec: 1 << 40, Windows: 11, Window: time.Hour})
	if n := records(w.follow(3, 0)); n != 1 {
		t.Errorf("got %d records below the quota, want 1", n)
	}
	w.SetQuota(throttle.Quota{BytesPerSec: 0, Windows: 11, Window: time.Hour})
	w.publish(&metadata.ConfigRecord{ResourceType: image.ResourceTopic, ResourceName: topic, Name: "leader.replication.throttled.replicas", Value: new("1:1,0:2")})
	if n := records(w.follow(3, 0)); n != 1 {
		t.Errorf("got %d records when the partition is not throttled, want 1", n)
	}
}
