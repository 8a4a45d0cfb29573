package fetcher_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
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

// A fetch that waits at the leader does not keep a new partition waiting.
func TestFetcher_NewPartitionJoinsAtOnce(t *testing.T) {
	c := newCluster(t)
	c.config.MaxWait = 10 * time.Minute // longer than the test may take
	c.config.Timeout = 10 * time.Minute
	c.start(1, vfs.NewMem())
	c.start(2, vfs.NewMem())
	c.create(topic, orders, 1, 1, 2)
	c.nodes[1].mustProduce(tp0, -1, "a")
	for i := range 5 {
		name := fmt.Sprint("later-", i)
		c.create(name, protocol.TopicID{1: byte(i), 15: 1}, 2, 1, 2)
		c.nodes[1].mustProduce(protocol.TopicPartition{Topic: name, Partition: 1}, -1, "b")
	}
	c.nodes[1].mustProduce(tp0, -1, "c")
}

func TestFetcher_SetFetchers(t *testing.T) {
	c := newCluster(t, 1, 2)
	const partitions = 8
	c.create(topic, orders, partitions, 1, 2)
	for _, n := range []int{1, 3, 2, 1} {
		c.nodes[2].fetcher.SetFetchers(n)
		for i := range int32(partitions) {
			c.nodes[1].mustProduce(protocol.TopicPartition{Topic: topic, Partition: i}, -1, "a")
		}
		if s := c.nodes[2].fetcher.Stats(); s.Fetchers != n || s.Partitions != partitions || s.FailedPartitions != 0 {
			t.Errorf("with %d fetchers: %+v", n, s)
		}
	}
}
