//go:build !wasip1

package kraft_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/kraft/raftstore"
)

func openPebble(tb testing.TB, fs vfs.FS, snapshotEntries uint64) *kraft.Quorum {
	tb.Helper()
	store := must(raftstore.Open(raftstore.Options{Dir: "raft", FS: fs, Logger: quiet(), Fatal: func(err error) { panic(err) }}))
	q, err := kraft.Open(tb.Context(), kraft.Options{
		NodeID: 1, ClusterID: "c", Store: store, Bootstrap: true, Logger: quiet(), SnapshotEntries: snapshotEntries,
		Fatal: func(err error) { tb.Errorf("fatal: %v", err) },
	})
	check(tb, err)
	return q
}

// crash is the disk at one moment, and what had been acknowledged by then.
type crash struct {
	fs    *vfs.MemFS
	acked int
	keep  int
}

// TestQuorum_AcknowledgedSurvivesPowerCut cuts the power at every third write or sync of the store, with unsynced data lost or
// kept by chance, while proposals and snapshots go on: what was acknowledged before the cut is there after it, nothing is
// torn, and the quorum starts by itself.
func TestQuorum_AcknowledgedSurvivesPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	rng := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex // guards the fields below
	var crashes []crash
	acked, ops := 0, 0
	injected := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if ops++; ops%3 == 0 && len(crashes) < 150 {
			keep := []int{0, 0, 50, 100}[ops/3%4]
			crashes = append(crashes, crash{fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rng}), acked, keep})
		}
		return nil
	}))
	q := openPebble(t, injected, 10)
	for i := range 60 {
		must(q.Propose(t.Context(), config("n", fmt.Sprint(i))))
		mu.Lock()
		acked = i + 1
		mu.Unlock()
		if i%20 == 19 {
			check(t, q.Snapshot(t.Context()))
		}
	}
	check(t, q.Close())
	if len(crashes) < 50 {
		t.Errorf("only %d power cuts", len(crashes))
	}
	for i, c := range crashes {
		q := openPebble(t, c.fs, 10)
		got := -1
		if v, ok := q.Image().Configs[image.Resource{Type: image.ResourceBroker}]["n"]; ok {
			must(fmt.Sscan(v, &got))
		}
		if got+1 < c.acked || got+1 > c.acked+1 {
			t.Errorf("power cut %d (%d %% kept): %d proposals acknowledged, %d there", i, c.keep, c.acked, got+1)
		}
		must(q.Propose(t.Context(), config("after", "v")))
		check(t, q.Close())
	}
}

func TestQuorum_DamagedSnapshotFallsBackToTheOlder(t *testing.T) {
	disk := raftstore.NewDisk()
	n := open(t, disk, func(o *kraft.Options) { o.SnapshotEntries = 10 })
	for i := range 90 {
		must(n.Propose(t.Context(), config(fmt.Sprint(i), strings.Repeat("v", 2000))))
		if i%30 == 29 {
			check(t, n.Snapshot(t.Context()))
		}
	}
	want := n.Image()
	check(t, n.Close())
	disk.Corrupt(func(key, value []byte) bool { // the last chunk of the newest snapshot
		return key[0] == 'd' && bytes.Contains(value, []byte("vvv"))
	})
	n = open(t, disk, nil)
	if diff := cmp.Diff(want, n.Image()); diff != "" {
		t.Errorf("after damage to the newest snapshot: %s", diff)
	}
	check(t, n.Close())
}

func TestQuorum_LargeCommand(t *testing.T) {
	fs := vfs.NewCrashableMem()
	q := openPebble(t, fs, 0)
	var records []metadata.Record
	for i := range 1500 {
		records = append(records, config(fmt.Sprint(i), strings.Repeat("x", 4000))...)
	}
	must(q.Propose(t.Context(), records)) // 6 MB, as a first start on a large Kafka cluster's directory
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	want := q.Image()
	check(t, q.Close())
	q = openPebble(t, crashed, 0)
	if diff := cmp.Diff(want, q.Image()); diff != "" {
		t.Error("a large command did not survive")
	}
	check(t, q.Close())
}
