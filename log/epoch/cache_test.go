package epoch_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/epoch"
	"github.com/distributedmq/dmq/log/vfs"
)

const path = "/leader-epoch-checkpoint"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cacheOf opens a cache that holds the pairs of leader epoch and start offset.
func cacheOf(t testing.TB, pairs ...int64) *epoch.Cache {
	t.Helper()
	c, err := epoch.Open(vfs.NewMem(), path)
	must(t, err)
	for i := 0; i < len(pairs); i += 2 {
		c.Assign(int32(pairs[i]), pairs[i+1])
	}
	return c
}

func entriesOf(pairs ...int64) []epoch.Entry {
	var out []epoch.Entry
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, epoch.Entry{LeaderEpoch: int32(pairs[i]), StartOffset: pairs[i+1]})
	}
	return out
}

func wantEntries(t *testing.T, c *epoch.Cache, pairs ...int64) {
	t.Helper()
	if diff := cmp.Diff(entriesOf(pairs...), c.Entries(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestAssign(t *testing.T) {
	cases := []struct {
		name          string
		have          []int64
		epoch         int32
		offset        int64
		want          []int64
		wantUnchanged bool
	}{
		{"first", nil, 2, 11, []int64{2, 11}, false},
		{"next", []int64{2, 11}, 3, 12, []int64{2, 11, 3, 12}, false},
		{"a gap in epochs", []int64{2, 11}, 9, 12, []int64{2, 11, 9, 12}, false},
		{"the same again", []int64{2, 11}, 2, 11, []int64{2, 11}, true},
		{"the latest epoch does not move up", []int64{2, 11}, 2, 15, []int64{2, 11}, true},
		{"the latest epoch moves down", []int64{2, 11}, 2, 7, []int64{2, 7}, false},
		{"moving down takes later entries with it", []int64{1, 5, 2, 11}, 2, 3, []int64{2, 3}, false},
		{"an empty epoch is replaced", []int64{1, 5, 2, 11}, 3, 11, []int64{1, 5, 3, 11}, false},
		{"an offset below removes what is above", []int64{1, 5, 2, 11, 3, 20}, 4, 6, []int64{1, 5, 4, 6}, false},
		{"an epoch below removes what is above", []int64{1, 5, 3, 11, 4, 20}, 2, 30, []int64{1, 5, 2, 30}, false},
		{"offset zero", []int64{1, 5}, 2, 0, []int64{2, 0}, false},
		{"no epoch", []int64{1, 5}, -1, 6, []int64{1, 5}, true},
		{"no offset", []int64{1, 5}, 2, -1, []int64{1, 5}, true},
		{"the largest", nil, math.MaxInt32, math.MaxInt64, []int64{math.MaxInt32, math.MaxInt64}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cache := cacheOf(t, c.have...)
			if got := cache.Assign(c.epoch, c.offset); got == c.wantUnchanged {
				t.Errorf("changed: got %v", got)
			}
			wantEntries(t, cache, c.want...)
		})
	}
}

func TestEndOffsetFor(t *testing.T) {
	three := []int64{2, 10, 5, 20, 7, 40}
	cases := []struct {
		name       string
		have       []int64
		requested  int32
		end        int64
		wantEpoch  int32
		wantOffset int64
	}{
		{"A undefined", three, -1, 50, -1, -1},
		{"A undefined in an empty cache", nil, -1, 50, -1, -1},
		{"B latest", three, 7, 50, 7, 50},
		{"C above the latest", three, 8, 50, -1, -1},
		{"C empty", nil, 0, 50, -1, -1},
		{"D below the first", three, 1, 50, 1, 10},
		{"D zero", three, 0, 50, 0, 10},
		{"E known", three, 5, 50, 5, 40},
		{"E between", three, 6, 50, 5, 40},
		{"E first", three, 2, 50, 2, 20},
		{"E between the first two", three, 4, 50, 2, 20},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			gotEpoch, gotOffset := cacheOf(t, c.have...).EndOffsetFor(c.requested, c.end)
			if gotEpoch != c.wantEpoch || gotOffset != c.wantOffset {
				t.Errorf("got %d %d, want %d %d", gotEpoch, gotOffset, c.wantEpoch, c.wantOffset)
			}
		})
	}
}

func TestLookups(t *testing.T) {
	c := cacheOf(t, 2, 10, 5, 20, 7, 40)
	for offset, want := range map[int64]int32{9: -1, 10: 2, 19: 2, 20: 5, 39: 5, 40: 7, 1000: 7, -1: -1} {
		if got, ok := c.EpochForOffset(offset); got != want || ok != (want >= 0) {
			t.Errorf("epoch for offset %d: got %d %v, want %d", offset, got, ok, want)
		}
	}
	for leaderEpoch, want := range map[int32]int32{2: -1, 3: 2, 5: 2, 7: 5, 8: 7, 0: -1} {
		if got, ok := c.PreviousEpoch(leaderEpoch); got != want || ok != (want >= 0) {
			t.Errorf("epoch before %d: got %d %v, want %d", leaderEpoch, got, ok, want)
		}
	}
	if e, ok := c.EarliestEntry(); !ok || e != entriesOf(2, 10)[0] {
		t.Errorf("earliest %+v %v", e, ok)
	}
	if e, ok := c.LatestEntry(); !ok || e != entriesOf(7, 40)[0] {
		t.Errorf("latest %+v %v", e, ok)
	}
	if got, ok := c.Latest(); !ok || got != 7 {
		t.Errorf("latest %d %v", got, ok)
	}
	c.Clear()
	c.Clear()
	_, earliest := c.EarliestEntry()
	_, latest := c.LatestEntry()
	if got, ok := c.Latest(); ok || got != epoch.UndefinedEpoch || earliest || latest {
		t.Errorf("an empty cache has entries: %d %v %v %v", got, ok, earliest, latest)
	}
}

func TestTruncateFromEnd(t *testing.T) {
	for offset, want := range map[int64][]int64{
		-1: {2, 10, 5, 20, 7, 40}, 41: {2, 10, 5, 20, 7, 40}, 40: {2, 10, 5, 20}, 21: {2, 10, 5, 20}, 20: {2, 10}, 11: {2, 10}, 10: nil, 0: nil,
	} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			c := cacheOf(t, 2, 10, 5, 20, 7, 40)
			if got := c.TruncateFromEnd(offset); got != (len(want) < 6) {
				t.Errorf("changed: got %v", got)
			}
			wantEntries(t, c, want...)
		})
	}
}

func TestTruncateFromStart(t *testing.T) {
	for offset, want := range map[int64][]int64{
		9: {2, 10, 5, 20, 7, 40}, 10: {2, 10, 5, 20, 7, 40}, 11: {2, 11, 5, 20, 7, 40}, 20: {5, 20, 7, 40}, 25: {5, 25, 7, 40}, 40: {7, 40}, 99: {7, 99},
	} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			c := cacheOf(t, 2, 10, 5, 20, 7, 40)
			if got := c.TruncateFromStart(offset); got != (offset > 10) {
				t.Errorf("changed: got %v", got)
			}
			wantEntries(t, c, want...)
		})
	}
	if cacheOf(t).TruncateFromStart(5) {
		t.Error("truncating an empty cache changed it")
	}
}

func TestFlush_AndOpen(t *testing.T) {
	fsys := vfs.NewMem()
	ops := 0
	counted := vfs.Inject(fsys, func(vfs.Op, string, int) error { ops++; return nil })
	c, err := epoch.Open(counted, path)
	must(t, err)
	ops = 0
	must(t, c.Flush())
	if ops != 0 {
		t.Error("flushing an unchanged cache touches the disk")
	}
	c.Assign(1, 5)
	c.Assign(2, 9)
	must(t, c.Flush())
	ops = 0
	must(t, c.Flush())
	if ops != 0 {
		t.Error("a second flush touches the disk")
	}
	c.Assign(3, 11) // not flushed
	c, err = epoch.Open(fsys.CrashClone(vfs.CrashOptions{}), path)
	must(t, err)
	wantEntries(t, c, 1, 5, 2, 9)

	must(t, fsys.MkdirAll("/d", 0o755))
	c, err = epoch.Open(fsys, path)
	must(t, err)
	c.SetPath("/d/moved")
	c.TruncateFromEnd(9)
	must(t, c.Flush())
	c, err = epoch.Open(fsys, "/d/moved")
	must(t, err)
	wantEntries(t, c, 1, 5)
}

func TestOpen_BreaksNoOrder(t *testing.T) {
	fsys := vfs.NewMem()
	must(t, checkpoint.WriteEpochs(fsys, path, entriesOf(1, 5, 3, 20, 2, 10, -4, 30, 6, 8)))
	c, err := epoch.Open(fsys, path)
	must(t, err)
	wantEntries(t, c, 1, 5, 6, 8)
	must(t, c.Flush())
	got, err := checkpoint.ReadEpochs(fsys, path)
	must(t, err)
	if diff := cmp.Diff(entriesOf(1, 5, 6, 8), got); diff != "" {
		t.Errorf("what was put right is written (-want +got):\n%s", diff)
	}
	must(t, vfs.WriteFileAtomic(fsys, path, []byte("0\n1\nx y\n")))
	var format *checkpoint.FormatError
	if _, err := epoch.Open(fsys, path); !errors.As(err, &format) {
		t.Errorf("a malformed file: got %v", err)
	}
}

func TestFlush_TriesAgainAfterAnError(t *testing.T) {
	fail := true
	fsys := vfs.Inject(vfs.NewMem(), func(op vfs.Op, _ string, _ int) error {
		if op == vfs.OpWrite && fail {
			return syscall.ENOSPC
		}
		return nil
	})
	c, err := epoch.Open(fsys, path)
	must(t, err)
	c.Assign(1, 5)
	if err := c.Flush(); !vfs.IsNoSpace(err) {
		t.Errorf("got %v, want ENOSPC", err)
	}
	fail = false
	must(t, c.Flush())
	c, err = epoch.Open(fsys, path)
	must(t, err)
	wantEntries(t, c, 1, 5)
}

func TestCache_Concurrent(t *testing.T) {
	fsys := vfs.NewMem()
	c, err := epoch.Open(fsys, path)
	must(t, err)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 100 {
				switch g {
				case 0:
					c.Assign(int32(i), int64(i))
				case 1:
					if err := c.Flush(); err != nil {
						t.Error(err)
					}
				case 2:
					c.EndOffsetFor(int32(i), 1000)
					c.EpochForOffset(int64(i))
				case 3:
					c.TruncateFromStart(int64(i / 2))
				}
			}
		})
	}
	wg.Wait()
	must(t, c.Flush())
	again, err := epoch.Open(fsys, path)
	must(t, err)
	if diff := cmp.Diff(c.Entries(), again.Entries()); diff != "" {
		t.Errorf("file (-cache +file):\n%s", diff)
	}
}

// TestCache_Model compares the cache with one that remembers the leader epoch of every single offset.
func TestCache_Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, err := epoch.Open(vfs.NewMem(), path)
		if err != nil {
			t.Fatal(err)
		}
		// epochs[i] is the leader epoch of offset start+i. Leaders only append, with epochs that do not fall.
		start, last := int64(0), int32(0)
		var epochs []int32
		end := func() int64 { return start + int64(len(epochs)) }
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				entries := c.Entries()
				if !slices.IsSortedFunc(entries, func(a, b epoch.Entry) int {
					if a.LeaderEpoch < b.LeaderEpoch && a.StartOffset < b.StartOffset {
						return -1
					}
					return 1
				}) {
					t.Fatalf("entries do not rise: %v", entries)
				}
				for i, want := range epochs {
					if got, ok := c.EpochForOffset(start + int64(i)); !ok || got != want {
						t.Fatalf("offset %d: got epoch %d %v, want %d", start+int64(i), got, ok, want)
					}
				}
				if len(epochs) == 0 {
					return
				}
				for requested := epochs[0]; requested <= epochs[len(epochs)-1]; requested++ {
					wantEpoch, wantEnd := requested, start
					for i, e := range epochs {
						if e <= requested {
							wantEpoch, wantEnd = e, start+int64(i)+1
						}
					}
					if latest, _ := c.Latest(); requested == latest {
						wantEnd = end()
					}
					gotEpoch, gotEnd := c.EndOffsetFor(requested, end())
					if gotEpoch != wantEpoch || gotEnd != wantEnd {
						t.Fatalf("end of epoch %d: got %d %d, want %d %d (%v from %d)", requested, gotEpoch, gotEnd, wantEpoch, wantEnd, epochs, start)
					}
				}
			},
			"append": func(t *rapid.T) {
				last += rapid.Int32Range(0, 2).Draw(t, "epochs on")
				c.Assign(last, end())
				for range rapid.IntRange(1, 3).Draw(t, "records") {
					epochs = append(epochs, last)
				}
			},
			"truncate from end": func(t *rapid.T) {
				to := rapid.Int64Range(start, end()).Draw(t, "to")
				c.TruncateFromEnd(to)
				epochs = epochs[:to-start]
			},
			"truncate from start": func(t *rapid.T) {
				if len(epochs) == 0 {
					t.Skip("no records")
				}
				to := rapid.Int64Range(start, end()-1).Draw(t, "to")
				c.TruncateFromStart(to)
				epochs, start = epochs[to-start:], to
			},
		})
	})
}
