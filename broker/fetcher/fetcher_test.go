package fetcher_test

import (
	"fmt"
	"testing"
)

func TestFetcher_Replicates(t *testing.T) {
	c := newCluster(t, 1, 2, 3)
	c.create(topic, orders, 1, 1, 2, 3)
	for i := range 20 {
		c.nodes[1].mustProduce(tp0, -1, fmt.Sprint("value ", i))
	}
	c.alike()
	for _, id := range ids(2, 3) {
		s := c.nodes[id].fetcher.Stats()
		if s.Partitions != 1 || s.FailedPartitions != 0 || s.Fetchers != 1 || s.Fetches == 0 || s.Bytes == 0 {
			t.Errorf("broker %d: %+v", id, s)
		}
	}
}

func TestFetcher_FollowsTheNextLeader(t *testing.T) {
	c := newCluster(t, 1, 2, 3)
	c.create(topic, orders, 1, 1, 2, 3)
	c.nodes[1].mustProduce(tp0, -1, "a", "b")
	c.elect(2, 1, 2, 3)
	c.nodes[2].mustProduce(tp0, -1, "c")
	c.alike()
	c.elect(3, 1, 2, 3)
	c.elect(1, 1, 2, 3)
	c.nodes[1].mustProduce(tp0, -1, "d")
	c.alike()
	c.wait("loops without partitions end", func() bool { return c.nodes[2].fetcher.Stats().Fetchers == 1 })
}

// What a leader wrote alone, and nobody acknowledged, is cut off when it comes back as a follower.
func TestFetcher_TruncatesByLeaderEpoch(t *testing.T) {
	c := newCluster(t, 1, 2)
	c.create(topic, orders, 1, 1, 2)
	c.nodes[1].mustProduce(tp0, -1, "a")
	c.alike()
	if err := c.nodes[2].fetcher.Close(); err != nil { // from now on nothing reaches broker 2
		t.Fatal(err)
	}
	c.nodes[1].mustProduce(tp0, 1, "lost 1", "lost 2")
	c.nodes[1].mustProduce(tp0, 1, "lost 3")
	c.elect(2, 2)
	c.nodes[2].mustProduce(tp0, -1, "b")
	c.alike()
	if got := c.nodes[1].log(tp0).LogEndOffset(); got != 2 {
		t.Errorf("the log ends at %d, want 2", got)
	}
}
