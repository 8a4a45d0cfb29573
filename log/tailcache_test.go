package log_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// TestTailCache_ServesTheEndWithoutASystemCall counts operations on files.
func TestTailCache_ServesTheEndWithoutASystemCall(t *testing.T) {
	var mu sync.Mutex
	reads := 0
	fs := vfs.Inject(newMem(t), func(op vfs.Op, _ string, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if op == vfs.OpRead || op == vfs.OpOpen {
			reads++
		}
		return nil
	})
	cache := commitlog.NewTailCache(1 << 20)
	l := newTestLog(t, fs, func(o *commitlog.Options) { o.TailCache = cache })
	l.mustAppend(t, "before anybody reads")
	l.sync(t)
	if cache.Used() != 0 {
		t.Fatalf("%d bytes are cached though nobody reads", cache.Used())
	}
	l.readAll(t, 0, 1)
	var want []string
	for i := range 40 {
		l.mustAppend(t, strings.Repeat("x", 1000*(i%8)), fmt.Sprint(i))
		want = append(want, fmt.Sprintf("%d=%d", 2*i+2, i))
	}
	l.sync(t)
	mu.Lock()
	reads = 0
	mu.Unlock()
	got := l.readAll(t, 1, l.LogEndOffset())
	if len(got) != 80 || got[79] != want[39] || got[41] != want[20] {
		t.Fatalf("read %d records, the last %q", len(got), got[len(got)-1])
	}
	if n := l.BytesBetween(1, l.LogEndOffset()); n != l.Size()-l.BytesBetween(0, 1) {
		t.Fatalf("%d bytes from offset 1 on, the log has %d", n, l.Size())
	}
	mu.Lock()
	defer mu.Unlock()
	if reads > 2 { // BytesBetween(0, 1) looks into the file
		t.Fatalf("%d files were opened or read", reads)
	}
}

// TestTailCache_SharesItsRoom has more logs than fit: memory stays bounded, and a slice outlives the eviction of what it shows.
func TestTailCache_SharesItsRoom(t *testing.T) {
	const limit = 256 << 10
	cache := commitlog.NewTailCache(limit)
	var logs []*testLog
	mem := newMem(t)
	for i := range 8 {
		logs = append(logs, newTestLog(t, mem, func(o *commitlog.Options) {
			o.Dir, o.TopicPartition, o.TailCache = fmt.Sprintf("/data/topic-%d", i), protocol.TopicPartition{Topic: "topic", Partition: int32(i)}, cache
		}))
	}
	var held []*commitlog.Slice
	for round := range 20 {
		for i, l := range logs {
			l.readAll(t, max(0, l.LogEndOffset()-1), l.LogEndOffset())
			if s, err := l.Read(l.LogEndOffset(), 1, l.LogEndOffset(), true); err != nil || s.Size() != 0 {
				t.Fatalf("read at the end: %d bytes, %v", s.Size(), err)
			}
			value := fmt.Sprintf("%d %d %s", i, round, strings.Repeat("x", 10_000))
			info := l.mustAppend(t, value)
			s, err := l.Read(info.FirstOffset, 1<<20, l.LogEndOffset(), true)
			if err != nil {
				t.Fatal(err)
			}
			if i == 3 {
				held = append(held, s)
			} else if _, err := sliceBytes(s); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%d=%s", info.FirstOffset, value); l.readAll(t, info.FirstOffset, l.LogEndOffset())[0] != got {
				t.Fatalf("read something else than %.20s", got)
			}
			if used := cache.Used(); used > limit {
				t.Fatalf("%d bytes are in use, the limit is %d", used, limit)
			}
		}
	}
	for round, s := range held {
		data, err := sliceBytes(s)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("3 %d x", round); !strings.Contains(string(data), want) {
			t.Fatalf("the slice of round %d shows something else now", round)
		}
	}
}
