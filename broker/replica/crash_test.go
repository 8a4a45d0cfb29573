package replica_test

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// openDirs puts a manager on top of real log directories.
func openDirs(t *testing.T, fsys vfs.FS, names ...string) (*world, *logdir.Manager) {
	t.Helper()
	w := &world{t: t, builder: image.NewBuilder(image.Empty())}
	dirs, err := logdir.Open(t.Context(), logdir.Options{
		FS: fsys, Dirs: names, NodeID: self, ClusterID: "AAAAAAAAAAAAAAAAAAAAAQ", Logger: slog.New(slog.DiscardHandler),
		Synced: func(tp protocol.TopicPartition, end int64) { w.Synced(tp, end) },
		Failed: func(dir string, err error) { w.DirFailed(dir, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Manager = replica.New(replica.Options{NodeID: self, Logs: dirs, Logger: slog.New(slog.DiscardHandler)})
	return w, dirs
}

func (w *world) shut(dirs *logdir.Manager, clean bool) {
	w.t.Helper()
	if err := w.Close(); err != nil {
		w.t.Error(err)
	}
	if err := dirs.Close(clean, 1); err != nil && clean {
		w.t.Error(err)
	}
}

func everything(tp protocol.TopicPartition) replica.ReadPartition {
	q := from(tp, 0)
	q.MaxBytes = 1 << 24
	return q
}

// TestManager_AcknowledgedSurvivesPowerCuts cuts the power at random moments while producers run: what was acknowledged
// before is there afterwards, at its offset.
func TestManager_AcknowledgedSurvivesPowerCuts(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for seed := range uint64(rounds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 11))
			disk := vfs.NewMem()
			w, dirs := openDirs(t, disk, "/a")
			w.create(topic, topicID(1), 2)
			type place struct {
				tp     protocol.TopicPartition
				offset int64
			}
			var mu sync.Mutex // guards acked and cut
			acked := make(map[place]string)
			var atCut map[place]string
			var cut *vfs.Mem
			const producers, each = 4, 40
			cutAt := r.IntN(producers * each)
			var running sync.WaitGroup
			for n := range producers {
				running.Go(func() {
					for i := range each {
						tp := protocol.TopicPartition{Topic: topic, Partition: int32(i % 2)}
						value := fmt.Sprintf("%d-%d", n, i)
						parts := to(tp, batch(value))
						wait(t, w.start([]int16{1, -1}[i%2], soon, parts))
						if err := parts[0].Result.Err; err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						acked[place{tp, parts[0].Result.BaseOffset}] = value
						if len(acked) == cutAt {
							atCut = maps.Clone(acked)
							cut = disk.CrashClone(vfs.CrashOptions{Rand: r, SurvivePercent: r.IntN(101)})
						}
						mu.Unlock()
					}
				})
			}
			running.Wait()
			w.shut(dirs, true)
			if cut == nil {
				return
			}
			after, again := openDirs(t, cut, "/a")
			defer after.shut(again, false)
			after.create(topic, topicID(1), 2)
			found := make(map[place]string)
			for i := range int32(2) {
				tp := protocol.TopicPartition{Topic: topic, Partition: i}
				for offset, v := range values(t, after.read(replica.ReadOptions{ReplicaID: -1, MaxBytes: 1 << 24}, everything(tp)), 0) {
					found[place{tp, int64(offset)}] = v
				}
			}
			for p, v := range atCut {
				if found[p] != v {
					t.Errorf("%q was acknowledged at %s offset %d; there is %q after the power cut", v, p.tp, p.offset, found[p])
				}
			}
			t.Logf("%d acknowledged before the cut, %d records after", len(atCut), len(found))
		})
	}
}

func TestManager_OnLogDirectories(t *testing.T) {
	disk := vfs.NewMem()
	w, dirs := openDirs(t, disk, "/a", "/b")
	w.create(topic, topicID(1), 4)
	w.create("gone", topicID(2), 1)
	for i := range int32(4) {
		w.mustProduce(protocol.TopicPartition{Topic: topic, Partition: i}, batch("kept"))
	}
	w.mustProduce(protocol.TopicPartition{Topic: "gone"}, batch("x"))
	w.publish(&metadata.RemoveTopicRecord{ID: topicID(2)})
	w.create("gone", topicID(3), 1)
	if got := w.mustProduce(protocol.TopicPartition{Topic: "gone"}, batch("y")); got != 0 {
		t.Errorf("got base offset %d in the recreated topic, want 0", got)
	}
	w.shut(dirs, true)

	w, dirs = openDirs(t, disk, "/a", "/b")
	w.create(topic, topicID(1), 4)
	w.create("gone", topicID(3), 1)
	if err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range int32(4) {
		if got := values(t, w.read(consumer, from(protocol.TopicPartition{Topic: topic, Partition: i}, 0)), 0); len(got) != 1 {
			t.Errorf("partition %d: got %q, want one record", i, got)
		}
	}
	if got := values(t, w.read(consumer, from(protocol.TopicPartition{Topic: "gone"}, 0)), 0); len(got) != 1 || got[0] != "y" {
		t.Errorf("got %q, want y", got)
	}
	w.shut(dirs, true)

	// The topic was deleted and created again while the broker was away.
	w, dirs = openDirs(t, disk, "/a", "/b")
	w.create("gone", topicID(4), 1)
	if got := values(t, w.read(consumer, from(protocol.TopicPartition{Topic: "gone"}, 0)), 0); len(got) != 0 {
		t.Errorf("got %q of the incarnation before, want nothing", got)
	}
	w.shut(dirs, true)
}
