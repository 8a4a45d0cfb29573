package logdir_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// history is what the users of a manager were told, and so what must hold after any crash.
type history struct {
	mu      sync.Mutex
	written map[protocol.TopicPartition][]string // in offset order
	synced  map[protocol.TopicPartition]int64    // reported as durable
	id      map[protocol.TopicPartition]protocol.TopicID
	deleted map[protocol.TopicPartition]protocol.TopicID // Delete returned without error
	ordered map[protocol.TopicPartition]bool             // Delete was called: either way is right
}

func newHistory() *history {
	return &history{
		written: map[protocol.TopicPartition][]string{}, synced: map[protocol.TopicPartition]int64{},
		id: map[protocol.TopicPartition]protocol.TopicID{}, deleted: map[protocol.TopicPartition]protocol.TopicID{}, ordered: map[protocol.TopicPartition]bool{},
	}
}

func (h *history) create(m *logdir.Manager, p protocol.TopicPartition, id protocol.TopicID) {
	l, err := m.Create(p, id)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || l == nil {
		return
	}
	if h.id[p] != id {
		h.id[p] = id
		h.written[p], h.synced[p], h.ordered[p] = nil, 0, false
	}
}

func (h *history) append(t *testing.T, m *logdir.Manager, p protocol.TopicPartition, value string) {
	l, found, err := m.Get(p)
	if err != nil || !found {
		return
	}
	h.mu.Lock() // so that Synced comes after the value is noted
	info, err := l.AppendAsLeader(batchOf(t, value), 0, commitlog.FromClient)
	if err == nil {
		if got := int(info.FirstOffset); got != len(h.written[p]) {
			t.Errorf("%s: appended at offset %d, want %d", p, got, len(h.written[p]))
		}
		h.written[p] = append(h.written[p], value)
	}
	h.mu.Unlock()
	if err == nil {
		_ = l.Flush(t.Context()) // or the disk is dead
	}
}

func (h *history) onSynced(p protocol.TopicPartition, end int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.synced[p] = max(h.synced[p], end)
}

func (h *history) delete(m *logdir.Manager, p protocol.TopicPartition) {
	h.mu.Lock()
	id, created := h.id[p]
	h.ordered[p] = created
	h.mu.Unlock()
	if !created {
		return
	}
	if err := m.Delete(p, id); err == nil {
		h.mu.Lock()
		h.deleted[p] = id
		h.mu.Unlock()
	}
}

// check opens what a crash left and compares.
func (h *history) check(t *testing.T, fsys *vfs.Mem) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	m, err := logdir.Open(t.Context(), options(fsys, nil))
	if err != nil {
		t.Errorf("open after the crash: %v", err)
		return
	}
	must(t, m.WaitRecovered(t.Context()))
	infos, err := m.Partitions(t.Context())
	must(t, err)
	for _, info := range infos {
		if id, ok := h.deleted[info.TopicPartition]; ok && info.TopicID == id && h.id[info.TopicPartition] == id {
			t.Errorf("%s of %s was deleted and is back", info.TopicPartition, id)
		}
	}
	for p, id := range h.id {
		if h.ordered[p] || h.synced[p] == 0 {
			continue
		}
		l, found, err := m.Get(p)
		if err != nil || !found {
			t.Errorf("%s with %d durable records: found %v, %v", p, h.synced[p], found, err)
			continue
		}
		got := values(t, l)
		if n := h.synced[p]; int64(len(got)) < n || !slices.Equal(got, h.written[p][:len(got)]) {
			t.Errorf("%s of %s: holds %q, want %q of which %d are durable", p, id, got, h.written[p], n)
		}
		appendTo(t, l, "after the crash")
	}
	must(t, m.Close(true, 9))
}

// life is what a broker does to its directory in one life.
func life(t *testing.T, fsys vfs.FS, h *history, generation int) {
	m, err := logdir.Open(t.Context(), options(fsys, func(o *logdir.Options) {
		o.Synced = h.onSynced
		o.DeleteDelay = -1
		o.CheckpointInterval = time.Hour // Checkpoint is called instead, so that operations come in order
	}))
	if err != nil {
		return
	}
	id := func(n int) protocol.TopicID { return topicID(byte(10*generation + n)) }
	a, b, c := tp("a", 0), tp("b", 1), tp(fmt.Sprintf("c%d", generation), 2)
	h.create(m, a, topicID(1)) // one that lives through all generations
	h.create(m, b, id(1))
	h.create(m, c, id(2))
	for i := range 3 {
		h.append(t, m, a, fmt.Sprintf("a%d.%d", generation, i))
		h.append(t, m, b, fmt.Sprintf("b%d.%d", generation, i))
	}
	_ = m.Checkpoint()
	h.append(t, m, c, "c")
	h.delete(m, b)
	h.create(m, b, id(3)) // a new incarnation of the same name
	h.append(t, m, b, "new")
	_ = m.Checkpoint()
	h.append(t, m, a, fmt.Sprintf("a%d.last", generation))
	h.delete(m, b)
	_ = m.Close(generation%2 == 0, 5)
}

// TestCrash_AtEveryOperation lets the n-th changing operation of a life fail for every n, alone or with all that follow, then
// cuts the power.
func TestCrash_AtEveryOperation(t *testing.T) {
	for _, forGood := range []bool{false, true} {
		for n := 1; ; n++ {
			mem, h := vfs.NewMem(), newHistory()
			var mu sync.Mutex
			count := 0
			failing := vfs.Inject(mem, func(op vfs.Op, _ string, _ int) error {
				mu.Lock()
				defer mu.Unlock()
				if !op.Changes() {
					return nil
				}
				if count++; count == n || forGood && count > n {
					return syscall.EIO
				}
				return nil
			})
			life(t, failing, h, 0)
			for _, survive := range []int{0, 50, 100} {
				h.check(t, mem.CrashClone(vfs.CrashOptions{Rand: rand.New(rand.NewPCG(uint64(n), uint64(survive))), SurvivePercent: survive}))
			}
			if t.Failed() {
				t.Fatalf("operation %d of a life failed (for good: %v)", n, forGood)
			}
			if count < n {
				t.Logf("for good %v: %d operations", forGood, count)
				break
			}
		}
	}
}

// TestCrash_FullDiskAtEveryOperation has the disk full from the n-th operation that needs space, for a while: nothing dies,
// and when there is space again all goes on.
func TestCrash_FullDiskAtEveryOperation(t *testing.T) {
	for n := 1; ; n++ {
		mem, h := vfs.NewMem(), newHistory()
		var mu sync.Mutex
		count := 0
		failing := vfs.Inject(mem, func(op vfs.Op, _ string, _ int) error {
			mu.Lock()
			defer mu.Unlock()
			if op != vfs.OpCreate && op != vfs.OpWrite && op != vfs.OpMkdirAll && op != vfs.OpRename {
				return nil
			}
			if count++; count >= n && count < n+5 {
				return syscall.ENOSPC
			}
			return nil
		})
		life(t, failing, h, 0)
		h.check(t, crash(mem))
		if t.Failed() {
			t.Fatalf("the disk is full from operation %d on", n)
		}
		if count < n {
			break
		}
	}
}

// TestCrash_Repeated lives several lives with a power cut at a random operation of each: all that was ever reported as
// durable is there, in every generation.
func TestCrash_Repeated(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 20
	}
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 42))
		mem, h := vfs.NewMem(), newHistory()
		for generation := range 4 {
			var frozen *vfs.Mem
			var known *history
			var mu sync.Mutex
			count, at := 0, 1+rng.IntN(120)
			survive := []int{0, 20, 50, 80, 100}[rng.IntN(5)]
			disk := mem
			fsys := vfs.Inject(disk, func(op vfs.Op, _ string, _ int) error {
				mu.Lock()
				defer mu.Unlock()
				if !op.Changes() {
					return nil
				}
				if count++; count == at {
					frozen = disk.CrashClone(vfs.CrashOptions{Rand: rng, SurvivePercent: survive})
				}
				if frozen != nil { // the power is off: nothing is answered any more
					return errors.New("power is off")
				}
				return nil
			})
			life(t, fsys, h, generation)
			known = h
			if frozen == nil {
				frozen = disk.CrashClone(vfs.CrashOptions{Rand: rng, SurvivePercent: survive})
			}
			known.check(t, frozen)
			if t.Failed() {
				t.Fatalf("seed %d, generation %d, power cut at operation %d, %d %% survive", seed, generation, at, survive)
			}
			mem = frozen
			h.adopt(t, mem)
		}
	}
}

// TestCrash_NewFolders cuts the power at each operation of a life in which folders are made, are written to for the first time and
// are deleted, where records are synced and where they are not. Whatever part of a folder is left, whoever asks for the
// partition gets it; and where there are records, the folder knows whose.
func TestCrash_NewFolders(t *testing.T) {
	for _, messages := range []int64{1, math.MaxInt64} {
		configure := func(o *logdir.Options) {
			o.DeleteDelay = -1
			o.CheckpointInterval = time.Hour
			o.ConfigFor = func(string) commitlog.Config {
				c := commitlog.DefaultConfig()
				c.FlushMessages = messages
				return c
			}
		}
		for n, more := 1, true; more; n++ {
			for seed, survive := range []int{0, 30, 50, 70, 100} {
				rng := rand.New(rand.NewPCG(uint64(n), uint64(seed)))
				var frozen *vfs.Mem
				frozen, more = powerCut(n, vfs.CrashOptions{Rand: rng, SurvivePercent: survive}, func(fsys vfs.FS) { firstRecords(t, fsys, configure) })
				checkNewFolders(t, frozen, configure)
				if t.Failed() {
					t.Fatalf("power cut at operation %d, %d %% survive, flush.messages %d", n, survive, messages)
				}
			}
		}
	}
}

// powerCut returns what is left when the power goes at the n-th changing operation of a life, and whether there was one.
func powerCut(n int, o vfs.CrashOptions, life func(fsys vfs.FS)) (left *vfs.Mem, cut bool) {
	mem := vfs.NewMem()
	var mu sync.Mutex
	count := 0
	life(vfs.Inject(mem, func(op vfs.Op, _ string, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if !op.Changes() {
			return nil
		}
		if count++; count == n {
			left = mem.CrashClone(o)
		}
		if left != nil {
			return errors.New("power is off")
		}
		return nil
	}))
	if left == nil {
		return mem.CrashClone(o), false
	}
	return left, true
}

// firstRecords is a life in which t-0 to t-3 are made; t-1 is led and t-2 followed, t-3 is made once more, and t-4 begins
// far behind 0.
func firstRecords(t *testing.T, fsys vfs.FS, configure func(*logdir.Options)) {
	m, err := logdir.Open(t.Context(), options(fsys, configure))
	if err != nil {
		return
	}
	create := func(n int32, id byte, use func(l *commitlog.Log) error) {
		if l, err := m.Create(tp("t", n), topicID(id)); err == nil && use != nil {
			_ = use(l) // the power may be off
		}
	}
	create(0, 1, nil)
	create(1, 1, func(l *commitlog.Log) error {
		if err := l.AssignEpoch(3, 0); err != nil {
			return err
		}
		_, err := l.AppendAsLeader(batchOf(t, "first"), 3, commitlog.FromClient)
		return err
	})
	create(2, 1, func(l *commitlog.Log) error {
		_, err := l.AppendAsFollower(batchOf(t, "first"), 3)
		return err
	})
	create(3, 1, nil)
	_ = m.Delete(tp("t", 3), topicID(1))
	create(3, 2, func(l *commitlog.Log) error {
		_, err := l.AppendAsLeader(batchOf(t, "first"), 0, commitlog.FromClient)
		return err
	})
	create(4, 1, func(l *commitlog.Log) error { return l.TruncateFullyAndStartAt(1000) })
	_ = m.Checkpoint()
	_ = m.Close(false, 1)
}

// checkNewFolders opens what is left.
func checkNewFolders(t *testing.T, left *vfs.Mem, configure func(*logdir.Options)) {
	t.Helper()
	m := open(t, left, configure)
	must(t, m.WaitRecovered(t.Context()))
	infos, err := m.Partitions(t.Context())
	must(t, err)
	for _, info := range infos {
		size, err := m.Size(info.TopicPartition)
		if err != nil || info.Err != nil {
			t.Errorf("%s: %v, %v", info.TopicPartition, err, info.Err)
		}
		if size > 0 && info.TopicID.IsZero() {
			t.Errorf("%s holds %d bytes of nobody", info.TopicPartition, size)
		}
	}
	for n := range int32(5) {
		l, err := m.Create(tp("t", n), topicID(1))
		if n == 3 && err != nil { // of the second incarnation
			l, err = m.Create(tp("t", n), topicID(2))
		}
		if err != nil {
			t.Errorf("t-%d: %v", n, err)
			continue
		}
		if _, err := l.AppendAsLeader(batchOf(t, "after"), 9, commitlog.FromClient); err != nil {
			t.Errorf("append to t-%d: %v", n, err)
		}
	}
	must(t, m.Close(true, 2))
}

// adopt takes over what the check found and added, for the next life.
func (h *history) adopt(t *testing.T, fsys *vfs.Mem) {
	t.Helper()
	m := open(t, fsys, nil)
	defer m.Close(true, 1)
	infos, err := m.Partitions(t.Context())
	must(t, err)
	here := map[protocol.TopicPartition]bool{}
	for _, info := range infos {
		here[info.TopicPartition] = true
		l := get(t, m, info.TopicPartition)
		h.id[info.TopicPartition] = info.TopicID
		h.written[info.TopicPartition] = values(t, l)
		h.synced[info.TopicPartition] = l.LogEndOffset()
		h.ordered[info.TopicPartition] = false
	}
	for p := range h.id {
		if !here[p] {
			delete(h.id, p)
		}
	}
	clear(h.deleted)
	if names := fileNames(t, fsys, "/data"); slices.ContainsFunc(names, func(n string) bool {
		return strings.HasSuffix(n, ".tmp") && !strings.Contains(n, "checkpoint") && !strings.Contains(n, "meta.properties") && !strings.Contains(n, "cleanshutdown")
	}) {
		t.Errorf("left %q", names)
	}
}
