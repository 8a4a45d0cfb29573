package coordlog_test

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/coordlog/coordtest"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// These tests run over a real replica manager.

func open(t *testing.T, b *coordtest.Broker) *coordlog.Runtime[*store] {
	t.Helper()
	r := coordlog.New(coordlog.Options[*store]{
		Topic: topic, NodeID: coordtest.Self, Replicas: b, Logger: slog.New(slog.DiscardHandler), New: newStore,
		MaxBatchBytes: func() int { return 1000 }, AppendTimeout: soon, LoadBytes: 1500,
	})
	t.Cleanup(func() { r.Close() })
	b.Subscribe(r)
	return r
}

func submit(r *coordlog.Runtime[*store], partition int32, f op) result {
	done := make(chan result, 1)
	coordlog.Submit(r, partition, f, func(answer string, err error) { done <- result{answer, err} })
	return <-done
}

// look reads a key from a partition that may still load.
func look(t *testing.T, r *coordlog.Runtime[*store], partition int32, key string) string {
	t.Helper()
	var got result
	eventually(t, "the partition is loaded", func() bool {
		got = submit(r, partition, get(key))
		return got.err == nil
	})
	return got.answer
}

// TestManager_AnsweredSurvivesPowerCuts cuts the power at a random moment while clients write: whoever was answered finds what
// it wrote, or something newer, and nobody finds what was never written.
func TestManager_AnsweredSurvivesPowerCuts(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	for seed := range uint64(rounds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 17))
			disk := vfs.NewMem()
			b := coordtest.OpenBroker(t, disk, image.Empty())
			r := open(t, b)
			b.CreateTopic(topic, 2)
			for p := range int32(2) {
				look(t, r, p, "")
			}
			const clients, writes = 6, 30
			var mu sync.Mutex // guards the fields below
			answered, total := make(map[string]int), 0
			var atCut map[string]int
			var cut *vfs.Mem
			cutAt := random.IntN(clients * writes)
			var running sync.WaitGroup
			for c := range clients {
				running.Go(func() {
					key := fmt.Sprint("client ", c)
					for i := range writes {
						if got := submit(r, int32(c%2), put(key, strconv.Itoa(i+1))); got.err != nil {
							t.Error(got.err)
							return
						}
						mu.Lock()
						answered[key] = i + 1
						if total++; total == cutAt {
							atCut = maps.Clone(answered)
							cut = disk.CrashClone(vfs.CrashOptions{Rand: random, SurvivePercent: random.IntN(101)})
						}
						mu.Unlock()
					}
				})
			}
			running.Wait()
			img := b.Image()
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			b.Shut()
			if cut == nil {
				return
			}
			r = open(t, coordtest.OpenBroker(t, cut, img))
			for c := range clients {
				key := fmt.Sprint("client ", c)
				found, _ := strconv.Atoi("0" + look(t, r, int32(c%2), key))
				if found < atCut[key] || found > writes {
					t.Errorf("%s was answered for %d; after the power cut there is %d", key, atCut[key], found)
				}
			}
		})
	}
}

// TestManager_LeadersChange moves the leadership away and back while clients write: what was answered is never undone, and
// everybody is answered.
func TestManager_LeadersChange(t *testing.T) {
	b := coordtest.OpenBroker(t, vfs.NewMem(), image.Empty())
	r := open(t, b)
	id := b.CreateTopic(topic, 1)
	var stop atomic.Bool
	var running sync.WaitGroup
	refused, written := new(atomic.Int64), new(atomic.Int64)
	for c := range 8 {
		running.Go(func() {
			key := fmt.Sprint("client ", c)
			last := 0 // that was answered
			for i := 1; !stop.Load(); i++ {
				got := submit(r, 0, put(key, strconv.Itoa(i)))
				if got.err != nil {
					refused.Add(1)
					runtime.Gosched()
					continue
				}
				written.Add(1)
				if was, _ := strconv.Atoi("0" + got.answer); was < last || was >= i {
					t.Errorf("%s found %d, after it was answered for %d and before it wrote %d", key, was, last, i)
				}
				last = i
			}
		})
	}
	leaders := []protocol.NodeID{coordtest.Self, 2, coordtest.Self}
	for i := range 30 {
		leader := leaders[i%len(leaders)]
		b.Commit(&metadata.PartitionChangeRecord{TopicID: id, Leader: &leader})
		if leader == coordtest.Self {
			before := written.Load()
			eventually(t, "clients write", func() bool { return written.Load() > before+10 })
		}
	}
	stop.Store(true)
	running.Wait()
	if refused.Load() == 0 {
		t.Error("nobody was ever refused")
	}
	if s := r.Stats(); s.Waiting != 0 || s.Uncommitted != 0 {
		t.Errorf("got %+v, want nothing left", s)
	}
}

// TestManager_DeadDisk has the disk fail: who waits is told, and so is everybody after.
func TestManager_DeadDisk(t *testing.T) {
	var dead atomic.Bool
	disk := vfs.Inject(vfs.NewMem(), func(op vfs.Op, name string, _ int) error {
		if dead.Load() && (op == vfs.OpSync || op == vfs.OpSyncData) && strings.HasSuffix(name, ".log") {
			return errors.New("EIO")
		}
		return nil
	})
	b := coordtest.OpenBroker(t, disk, image.Empty())
	r := open(t, b)
	b.CreateTopic(topic, 1)
	look(t, r, 0, "a")
	if got := submit(r, 0, put("a", "1")); got.err != nil {
		t.Fatal(got.err)
	}
	parked := make(chan result, 1)
	coordlog.Submit(r, 0, park, func(answer string, err error) { parked <- result{answer, err} })
	dead.Store(true)
	if got := submit(r, 0, put("a", "2")); got.String() != "NOT_COORDINATOR" {
		t.Errorf("the writer: got %s", got)
	}
	want(t, "what was parked", parked, "NOT_COORDINATOR")
	eventually(t, "loading fails too", func() bool { return r.Stats().Failed == 1 })
	if got := submit(r, 0, get("a")); got.String() != "NOT_COORDINATOR" {
		t.Errorf("whoever comes later: got %s", got)
	}
}
