package fetcher_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distributedmq/dmq/broker/fetcher"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/broker/throttle"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
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

// Failures count by the leader that does not answer, and a leader that was never asked in vain shows with none.
func TestFetcher_CountsFailuresByLeader(t *testing.T) {
	c := newCluster(t, 1, 2, 3)
	c.create(topic, orders, 1, 1, 2, 3)
	c.nodes[1].mustProduce(tp0, -1, "a")
	n := c.nodes[2]
	before := n.fetcher.Stats().FailedFetches
	if _, asked := before[1]; !asked || len(before) != 1 {
		t.Errorf("failures of %v, want of 1 alone", before)
	}
	c.nodes[1].stop()
	c.wait("it is counted", func() bool { return n.fetcher.Stats().FailedFetches[1] > before[1] })
	c.elect(3, 2, 3)
	c.nodes[3].mustProduce(tp0, -1, "b")
	if s := n.fetcher.Stats(); s.FailedFetches[3] != 0 || len(s.FailedFetches) != 2 {
		t.Errorf("failures of %v, want some of 1 and none of 3", s.FailedFetches)
	}
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

// What a follower was to fetch next was deleted meanwhile: it begins anew where the leader's log begins, inside a batch.
func TestFetcher_BeginsAnewWhereTheLeadersLogBegins(t *testing.T) {
	c := newCluster(t, 1, 2)
	c.create(topic, orders, 1, 1, 2)
	c.nodes[1].mustProduce(tp0, -1, "a", "b")
	n := c.nodes[2]
	if err := n.fetcher.Close(); err != nil {
		t.Fatal(err)
	}
	c.elect(1, 1)
	c.nodes[1].mustProduce(tp0, 1, "c", "d")
	c.nodes[1].mustProduce(tp0, 1, "e", "f", "g")
	leader := c.nodes[1].log(tp0)
	c.fence(2) // the leader does not wait for it
	c.wait("the high watermark rises", func() bool { return leader.HighWatermark() == 7 })
	if err := leader.AdvanceLogStartOffset(5); err != nil {
		t.Fatal(err)
	}
	n.startFetcher()
	l := n.log(tp0)
	c.wait("the follower begins anew", func() bool { return l.LogStartOffset() == 5 && l.LogEndOffset() == 7 && l.HighWatermark() == 7 })
	c.nodes[1].mustProduce(tp0, 1, "h")
	c.wait("the follower goes on", func() bool { return l.LogEndOffset() == 8 })
}

// A leader that has less than a follower is known to have had committed, without an unclean election, is a mistake: the follower
// keeps what it has and is left alone, other partitions are followed, and when it leads itself the others follow it.
func TestFetcher_NeverCutsBelowTheHighWatermark(t *testing.T) {
	c := newCluster(t, 1, 2, 3)
	c.create(topic, orders, 2, 1, 2)
	other := protocol.TopicPartition{Topic: topic, Partition: 1}
	c.nodes[1].mustProduce(tp0, -1, "a", "b")
	c.nodes[1].mustProduce(tp0, -1, "c")
	n := c.nodes[2]
	c.wait("the follower knows that it is committed", func() bool { return n.log(tp0).HighWatermark() == 3 })
	forced := protocol.NodeID(3)
	c.publish(&metadata.PartitionChangeRecord{TopicID: orders, Replicas: ids(1, 2, 3), ISR: ids(3), Leader: &forced})
	c.nodes[3].mustProduce(tp0, 1, "x")
	c.wait("the follower is left alone", func() bool { return n.fetcher.Stats().FailedPartitions == 1 })
	if l := n.log(tp0); l.LogEndOffset() != 3 || l.HighWatermark() != 3 {
		t.Errorf("the log ends at %d, high watermark %d", l.LogEndOffset(), l.HighWatermark())
	}
	if s := n.fetcher.Stats(); s.PartitionFailures == 0 {
		t.Error("it is not counted")
	}
	n.fetcher.Each(func(s fetcher.PartitionStats) {
		if parted := new(replica.BelowHighWatermarkError); errors.As(s.Err, &parted) != (s.Partition == 0) {
			t.Errorf("%+v", s)
		}
	})
	c.nodes[1].mustProduce(other, -1, "still followed")
	c.elect(2, 2)
	n.mustProduce(tp0, 1, "d")
	c.wait("broker 1 follows again", func() bool { return c.nodes[1].log(tp0).LogEndOffset() == 4 })
}

// After an unclean election everybody becomes a copy of who was elected, whatever they knew to be committed: those that were
// there, one that was not, one that led, and whoever leads next.
func TestFetcher_HealsAfterAnUncleanElection(t *testing.T) {
	// 1 and 2 have committed five records, 3 has two of them
	behind := func(t *testing.T) *cluster {
		c := newCluster(t, 1, 2, 3)
		c.create(topic, orders, 1, 1, 2, 3)
		c.nodes[1].mustProduce(tp0, -1, "a", "b")
		c.alike()
		if err := c.nodes[3].fetcher.Close(); err != nil {
			t.Fatal(err)
		}
		c.elect(1, 1, 2)
		c.fence(3)
		c.nodes[1].mustProduce(tp0, -1, "lost 1")
		c.elect(2, 1, 2)
		c.nodes[2].mustProduce(tp0, -1, "lost 2", "lost 3")
		c.wait("both know that it is committed", func() bool {
			return c.nodes[1].log(tp0).HighWatermark() == 5 && c.nodes[2].log(tp0).HighWatermark() == 5
		})
		return c
	}
	rise := func(c *cluster) {
		c.force(3)
		c.publish(&metadata.BrokerRegistrationChangeRecord{ID: 3, Epoch: c.nodes[3].epoch, Fenced: new(false)})
		c.nodes[3].startFetcher()
	}
	counts := func(t *testing.T, c *cluster, lost map[protocol.NodeID]int64) {
		for id, n := range c.nodes {
			if got := n.replicas.Stats().Lost; got != lost[id] {
				t.Errorf("broker %d counts %d records that were lost, want %d", id, got, lost[id])
			}
			if s := n.fetcher.Stats(); s.FailedPartitions > 0 {
				t.Errorf("broker %d: %+v", id, s)
			}
		}
	}
	healed := func(t *testing.T, c *cluster, lost map[protocol.NodeID]int64) {
		c.nodes[c.partition().Leader].mustProduce(tp0, -1, "after")
		c.alike()
		counts(t, c, lost)
	}
	// ends is healed for logs that do not begin where the leader's does
	ends := func(t *testing.T, c *cluster, lost map[protocol.NodeID]int64) {
		c.nodes[3].mustProduce(tp0, -1, "after")
		for _, id := range ids(1, 2) {
			c.wait("it has the same end", func() bool {
				return c.nodes[id].log(tp0).LogEndOffset() == 3 && c.nodes[id].log(tp0).HighWatermark() == 3
			})
		}
		counts(t, c, lost)
	}
	t.Run("followers that are there", func(t *testing.T) {
		c := behind(t)
		rise(c)
		healed(t, c, map[protocol.NodeID]int64{1: 3, 2: 3})
	})
	t.Run("where there is more in another leader epoch", func(t *testing.T) {
		c := behind(t)
		rise(c)
		c.nodes[3].mustProduce(tp0, 1, "x", "y", "z", "more", "than", "was", "lost")
		healed(t, c, map[protocol.NodeID]int64{1: 3, 2: 3})
	})
	t.Run("logs that are compacted", func(t *testing.T) {
		c := behind(t)
		for _, id := range ids(1, 2) {
			l := c.nodes[id].log(tp0)
			cfg := l.Config()
			cfg.CleanupCompact = true
			l.SetConfig(cfg)
		}
		rise(c)
		c.wait("they are copied", func() bool { return c.nodes[1].log(tp0).LogEndOffset() == 2 && c.nodes[2].log(tp0).LogEndOffset() == 2 })
		for _, id := range ids(1, 2) {
			if l := c.nodes[id].log(tp0); l.LogStartOffset() != 0 {
				t.Errorf("the log of broker %d begins at %d, want 0", id, l.LogStartOffset())
			}
		}
		healed(t, c, map[protocol.NodeID]int64{1: 3, 2: 3})
	})
	t.Run("one that was down, and hears of it from a later leader", func(t *testing.T) {
		c := behind(t)
		two := c.nodes[2]
		two.stop()
		rise(c)
		c.nodes[3].mustProduce(tp0, 1, "x")
		c.wait("broker 1 has joined", func() bool { return slices.Contains(c.partition().ISR, 1) })
		c.nodes[3].mustProduce(tp0, -1, "y")
		c.elect(1, 1, 3)
		c.elect(3, 1, 3)
		c.elect(1, 1, 3)
		c.start(2, two.fs)
		c.nodes[1].mustProduce(tp0, -1, "z")
		healed(t, c, map[protocol.NodeID]int64{1: 3, 2: 3})
	})
	t.Run("one that led in a forced epoch itself", func(t *testing.T) {
		c := behind(t)
		c.nodes[1].fetcher.Close()
		c.force(2)
		c.nodes[2].mustProduce(tp0, 1, "x")
		c.wait("it is committed", func() bool { return c.nodes[2].log(tp0).HighWatermark() == 6 })
		rise(c)
		c.nodes[1].startFetcher()
		healed(t, c, map[protocol.NodeID]int64{1: 3, 2: 4})
	})
	t.Run("to an empty log", func(t *testing.T) {
		c := behind(t)
		c.nodes[3].stop()
		c.elect(image.NoLeader, 1, 2) // so that there is nothing to copy
		c.start(3, vfs.NewMem())
		c.force(3)
		c.wait("it is known where the new replica lies, in a leader epoch of its own", func() bool {
			p := c.partition()
			return len(p.Directories) == 3 && p.Directories[2] == c.nodes[3].logs.Dirs()[0].ID
		})
		healed(t, c, map[protocol.NodeID]int64{1: 5, 2: 5})
	})
	t.Run("to one that ends before the log begins", func(t *testing.T) {
		c := behind(t)
		for _, id := range ids(1, 2) {
			if err := c.nodes[id].log(tp0).AdvanceLogStartOffset(4); err != nil {
				t.Fatal(err)
			}
		}
		rise(c)
		ends(t, c, map[protocol.NodeID]int64{1: 1, 2: 1})
	})
	t.Run("an empty log that lies above it", func(t *testing.T) {
		c := behind(t)
		for _, id := range ids(1, 2) {
			if err := c.nodes[id].log(tp0).TruncateFullyAndStartAt(5); err != nil {
				t.Fatal(err)
			}
		}
		rise(c)
		ends(t, c, map[protocol.NodeID]int64{})
	})
}

// Once a follower has followed whom an unclean election elected, what it knows to be committed stays, whatever a leader says.
func TestFetcher_GivesUpNothingThatCameAfterAnUncleanElection(t *testing.T) {
	c := newCluster(t, 1, 2, 3)
	c.create(topic, orders, 1, 1, 2, 3)
	c.nodes[1].mustProduce(tp0, -1, "a")
	c.alike()
	c.nodes[3].fetcher.Close()
	c.fence(3)
	c.elect(1, 1, 2)
	c.force(2)
	c.nodes[2].mustProduce(tp0, 1, "b")
	c.wait("broker 1 has joined", func() bool { return slices.Contains(c.partition().ISR, 1) })
	c.nodes[2].mustProduce(tp0, -1, "c")
	for _, id := range ids(1, 2) {
		c.wait("it knows that it is committed", func() bool { return c.nodes[id].log(tp0).HighWatermark() == 3 })
	}
	c.elect(3, 3) // without owning up to it
	for _, id := range ids(1, 2) {
		c.wait("it is left alone", func() bool { return c.nodes[id].fetcher.Stats().FailedPartitions == 1 })
		if l := c.nodes[id].log(tp0); l.LogEndOffset() != 3 || l.HighWatermark() != 3 {
			t.Errorf("the log of broker %d ends at %d, high watermark %d", id, l.LogEndOffset(), l.HighWatermark())
		}
	}
}

// A partition that comes back under the same name is another one.
func TestFetcher_TopicIsDeletedAndMadeAgain(t *testing.T) {
	c := newCluster(t, 1, 2)
	for i := range byte(3) {
		id := protocol.TopicID{0: i + 1, 15: 1}
		c.create(topic, id, 1, 1, 2)
		c.nodes[1].mustProduce(tp0, -1, "a", fmt.Sprint(i))
		c.alike()
		c.publish(&metadata.RemoveTopicRecord{ID: id})
		c.wait("nothing is followed", func() bool { s := c.nodes[2].fetcher.Stats(); return s.Partitions == 0 && s.Fetchers == 0 })
	}
}

// A replica moves to another broker: the new one begins empty, the old one is deleted.
func TestFetcher_ReplicaMoves(t *testing.T) {
	c := newCluster(t, 1, 2, 3)
	c.create(topic, orders, 1, 1, 2)
	for i := range 10 {
		c.nodes[1].mustProduce(tp0, -1, fmt.Sprint("value ", i))
	}
	c.publish(&metadata.PartitionChangeRecord{TopicID: orders, Replicas: ids(1, 2, 3), Adding: ids(3), Removing: ids(2)})
	c.wait("the new replica is in sync", func() bool { return slices.Contains(c.partition().ISR, 3) })
	c.publish(&metadata.PartitionChangeRecord{TopicID: orders, Replicas: ids(1, 3), ISR: ids(1, 3), Adding: ids(), Removing: ids()})
	c.nodes[1].mustProduce(tp0, -1, "after")
	if got := c.nodes[3].log(tp0).LogEndOffset(); got != 11 {
		t.Errorf("the new replica ends at %d, want 11", got)
	}
	c.wait("the old replica is deleted", func() bool {
		_, found, err := c.nodes[2].logs.Get(tp0)
		return !found && err == nil
	})
}

func TestFetcher_ManyPartitions(t *testing.T) {
	const partitions = 2000
	c := newCluster(t, 1, 2)
	c.create(topic, orders, partitions, 1, 2)
	c.wait("all are followed", func() bool {
		known := 0
		c.nodes[2].fetcher.Each(func(s fetcher.PartitionStats) {
			if s.Lag == 0 {
				known++
			}
		})
		return known == partitions
	})
	for i := range int32(50) {
		c.nodes[1].mustProduce(protocol.TopicPartition{Topic: topic, Partition: i * 37}, -1, "a")
	}
}

// A throttled replica gets what is allowed and no more, others are not held back, and when it is not throttled any more it catches
// up at once.
func TestFetcher_Throttles(t *testing.T) {
	c := newCluster(t, 1)
	c.quota = throttle.Quota{BytesPerSec: 1, Windows: 100, Window: time.Hour} // some 360 KB, then nothing as long as the test runs
	c.config.MaxBytes = 10_000
	c.create(topic, orders, 2, 1, 2)
	other := protocol.TopicPartition{Topic: topic, Partition: 1}
	c.publish(&metadata.PartitionChangeRecord{TopicID: orders, ISR: ids(1)}, &metadata.PartitionChangeRecord{TopicID: orders, Partition: 1, ISR: ids(1)},
		&metadata.ConfigRecord{ResourceType: image.ResourceTopic, ResourceName: topic, Name: "follower.replication.throttled.replicas", Value: new("0:2,1:1")})
	value := strings.Repeat("v", 9_000)
	for range 100 {
		c.nodes[1].mustProduce(tp0, 1, value)
		c.nodes[1].mustProduce(other, 1, value)
	}
	n := c.start(2, vfs.NewMem())
	c.wait("the other partition is followed", func() bool { return n.end(other) == 100 })
	c.wait("the quota is used up", func() bool { return n.end(tp0) >= 39 })
	if got := n.end(tp0); got > 41 {
		t.Errorf("%d batches of 9 KB came, the quota allows 40", got)
	}
	c.publish(&metadata.ConfigRecord{ResourceType: image.ResourceTopic, ResourceName: topic, Name: "follower.replication.throttled.replicas"})
	c.wait("the rest follows", func() bool { return n.end(tp0) == 100 })
}

// A replica with a damaged batch is replaced by a copy of its leader's; what it had is kept for people to look at.
func TestFetcher_ReplacesADamagedReplica(t *testing.T) {
	// damage returns a broker that has been started again on a log with a damaged batch at offset 3, and leads if it can.
	damage := func(t *testing.T, c *cluster, clean bool) *node {
		t.Helper()
		c.create(topic, orders, 1, 1, 2, 3)
		for i := range 8 {
			c.nodes[1].mustProduce(tp0, -1, fmt.Sprint("value ", i))
		}
		c.alike()
		n := c.nodes[2]
		if err := n.logs.Checkpoint(); err != nil { // what is below the recovery point cannot be torn
			t.Fatal(err)
		}
		disk := n.fs
		if !clean {
			disk = n.fs.CrashClone(vfs.CrashOptions{})
		}
		n.stop()
		flip(t, disk, "/data/orders-0/00000000000000000000.log", 3*int64(len(batch("value 0")))+70)
		return c.start(2, disk)
	}
	replaced := func(t *testing.T, c *cluster, n *node) {
		t.Helper()
		c.wait("the damaged folder is kept", func() bool {
			entries, err := n.fs.ReadDir("/data")
			if err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), "-stray") })
		})
		c.wait("a copy is in sync", func() bool { return n.end(tp0) == 8 && slices.Contains(c.partition().ISR, 2) })
		c.nodes[c.partition().Leader].mustProduce(tp0, -1, "after")
		c.alike()
	}
	t.Run("found when the log is opened", func(t *testing.T) {
		c := newCluster(t, 1, 2, 3)
		replaced(t, c, damage(t, c, false))
	})
	t.Run("found by a reader of the leader's log", func(t *testing.T) {
		c := newCluster(t, 1, 2, 3)
		n := damage(t, c, true)
		c.elect(2, 1, 2, 3)
		c.wait("the reader is told", func() bool {
			res := n.replicas.Read(nil, replica.ReadOptions{ReplicaID: -1, MinBytes: 1, MaxBytes: 1 << 20}, []replica.ReadPartition{{
				TopicIDPartition: protocol.TopicIDPartition{Topic: topic}, FetchOffset: 3, MaxBytes: 1 << 20, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1,
			}})[0]
			if res.Records != nil {
				defer res.Records.Close()
				b := make([]byte, res.Records.Size())
				if _, err := res.Records.ReadAt(b, 0); err == nil {
					t.Fatal("a damaged batch was served")
				}
			}
			return res.Err != nil
		})
		replaced(t, c, n)
		if c.partition().Leader == 2 {
			t.Error("the damaged replica still leads")
		}
	})
	t.Run("but not the last one", func(t *testing.T) {
		c := newCluster(t, 1, 2, 3)
		c.create("other", protocol.TopicID{0: 9, 15: 1}, 1, 1)
		n := damage(t, c, true)
		for _, id := range ids(1, 3) {
			c.fence(id)
		}
		c.elect(2, 2)
		n.mustProduce(tp0, 1, "is still served")
		if got := n.end(tp0); got != 9 || c.partition().Leader != 2 {
			t.Errorf("the log ends at %d, %d leads", got, c.partition().Leader)
		}
	})
}

// flip damages a byte of a file.
func flip(t *testing.T, disk *vfs.Mem, name string, position int64) {
	t.Helper()
	f, err := disk.OpenFile(name, vfs.ReadWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], position); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b[:], position); err != nil {
		t.Fatal(err)
	}
}
