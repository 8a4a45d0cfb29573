package logdir_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

func TestCheckpoints_FollowTheLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		m := open(t, fsys, nil)
		defer m.Close(true, 1)
		l, err := m.Create(tp("t", 0), topicID(1))
		must(t, err)
		_, err = m.Create(tp("idle", 0), topicID(2)) // there is nothing of it to keep
		must(t, err)
		appendTo(t, l, "a", "b", "c")
		flush(t, l)
		time.Sleep(1100 * time.Millisecond)
		want := map[protocol.TopicPartition]int64{tp("t", 0): 3}
		if diff := cmp.Diff(want, offsetsIn(t, crash(fsys), checkpoint.RecoveryPointFile)); diff != "" {
			t.Errorf("recovery points a second after the sync (-want +got):\n%s", diff)
		}
		l.UpdateHighWatermark(3)
		must(t, l.AdvanceLogStartOffset(2))
		time.Sleep(5100 * time.Millisecond)
		if diff := cmp.Diff(want, offsetsIn(t, crash(fsys), checkpoint.HighWatermarkFile)); diff != "" {
			t.Errorf("high watermarks (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[protocol.TopicPartition]int64{tp("t", 0): 2}, offsetsIn(t, crash(fsys), checkpoint.LogStartOffsetFile)); diff != "" {
			t.Errorf("log start offsets (-want +got):\n%s", diff)
		}
		appendTo(t, l, "d")
		flush(t, l)
		must(t, m.Checkpoint())
		if got := offsetsIn(t, crash(fsys), checkpoint.RecoveryPointFile)[tp("t", 0)]; got != 4 {
			t.Errorf("recovery point %d right after Checkpoint, want 4", got)
		}
	})
}

func TestCheckpoints_OfLogsThatWereNotOpenedStay(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	appendTo(t, l, "a", "b", "c")
	l.UpdateHighWatermark(3)
	must(t, l.AdvanceLogStartOffset(1))
	must(t, m.Close(true, 1))
	before := offsetsIn(t, fsys, checkpoint.RecoveryPointFile)
	m = open(t, fsys, nil)
	fresh, err := m.Create(tp("new", 0), topicID(2))
	must(t, err)
	appendTo(t, fresh, "a") // so that the files are written
	flush(t, fresh)
	must(t, m.Checkpoint())
	before[tp("new", 0)] = 1
	if diff := cmp.Diff(before, offsetsIn(t, fsys, checkpoint.RecoveryPointFile)); diff != "" {
		t.Errorf("recovery points (-want +got):\n%s", diff)
	}
	if got := offsetsIn(t, fsys, checkpoint.LogStartOffsetFile)[tp("t", 0)]; got != 1 {
		t.Errorf("log start offset %d, want 1", got)
	}
	if l := get(t, m, tp("t", 0)); l.LogStartOffset() != 1 || l.HighWatermark() != 3 {
		t.Errorf("start %d, high watermark %d: want 1 and 3", l.LogStartOffset(), l.HighWatermark())
	}
	must(t, m.Close(true, 1))
}

func TestCheckpoints_Malformed(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	appendTo(t, l, "a", "b", "c")
	must(t, m.Close(true, 1))
	for _, clean := range []bool{true, false} {
		for _, name := range []string{checkpoint.RecoveryPointFile, checkpoint.LogStartOffsetFile, checkpoint.HighWatermarkFile} {
			must(t, vfs.WriteFileAtomic(fsys, "/data/"+name, []byte("rubbish\n")))
		}
		if !clean {
			must(t, checkpoint.RemoveCleanShutdown(fsys, "/data"))
		}
		m = open(t, fsys, nil)
		if got := values(t, get(t, m, tp("t", 0))); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("clean %v: read %q", clean, got)
		}
		must(t, m.Close(true, 1))
		if got := offsetsIn(t, fsys, checkpoint.RecoveryPointFile); got[tp("t", 0)] != 3 {
			t.Errorf("clean %v: recovery points %v afterwards", clean, got)
		}
	}
}

// TestTruncate_LowersTheCheckpointFirst: a recovery point that lies above the log's new end must not outlive a crash.
func TestTruncate_LowersTheCheckpointFirst(t *testing.T) {
	mem := vfs.NewMem()
	fsys := newFailing(mem)
	m := open(t, fsys, nil)
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	for _, v := range []string{"a", "b", "c", "d", "e"} {
		appendTo(t, l, v)
	}
	flush(t, l)
	must(t, m.Checkpoint())
	if got := offsetsIn(t, crash(mem), checkpoint.RecoveryPointFile)[tp("t", 0)]; got != 5 {
		t.Fatalf("recovery point %d, want 5", got)
	}
	must(t, l.TruncateTo(2))
	if got := offsetsIn(t, crash(mem), checkpoint.RecoveryPointFile)[tp("t", 0)]; got > 2 {
		t.Errorf("recovery point %d on disk right after the truncation to 2", got)
	}
	for _, v := range []string{"x", "y", "z"} {
		appendTo(t, l, v)
	}
	flush(t, l)
	must(t, m.Checkpoint())
	fsys.set(func(op vfs.Op, name string) error { // not even a full disk may leave the old recovery point
		if strings.Contains(name, checkpoint.RecoveryPointFile) && op == vfs.OpCreate {
			return syscall.ENOSPC
		}
		return nil
	})
	_ = l.TruncateTo(3)
	if d := m.Dirs()[0]; !d.Offline {
		t.Error("the directory goes on although the old recovery point could not be replaced")
	}
	_ = m.Close(true, 1)
}

// TestForgetHighWatermark_LowersTheCheckpointsFirst: no checkpoint that speaks of what was given up outlives a crash, whoever syncs.
func TestGiveUp_LowersTheCheckpointsFirst(t *testing.T) {
	for _, durable := range []bool{true, false} {
		for _, to := range []int64{3, 1} { // above the log start offset, and below
			t.Run(fmt.Sprintf("durable %v, to %d", durable, to), func(t *testing.T) {
				mem := vfs.NewMem()
				m := open(t, mem, func(o *logdir.Options) {
					o.ConfigFor = func(string) commitlog.Config {
						c := commitlog.DefaultConfig()
						if !durable {
							c.FlushMessages = 1 << 40
						}
						return c
					}
				})
				l, err := m.Create(tp("t", 0), topicID(1))
				must(t, err)
				for _, v := range []string{"a", "b", "c", "d", "e"} {
					appendTo(t, l, v)
				}
				if durable {
					flush(t, l)
				}
				l.UpdateHighWatermark(5)
				must(t, l.AdvanceLogStartOffset(2))
				must(t, m.Checkpoint())
				must(t, l.ForgetHighWatermark())
				if got := offsetsIn(t, crash(mem), checkpoint.HighWatermarkFile)[tp("t", 0)]; got != 2 || l.HighWatermark() != 2 {
					t.Errorf("high watermark %d, on disk %d, want 2", l.HighWatermark(), got)
				}
				if to >= l.LogStartOffset() {
					must(t, l.TruncateTo(to))
				} else {
					must(t, l.TruncateFullyAndStartAt(to))
				}
				if hw, end := l.HighWatermark(), l.LogEndOffset(); hw > to || end != to {
					t.Errorf("high watermark %d and log end %d, want %d", hw, end, to)
				}
				appendTo(t, l, "x")
				for _, name := range []string{checkpoint.RecoveryPointFile, checkpoint.HighWatermarkFile, checkpoint.LogStartOffsetFile} {
					if got := offsetsIn(t, crash(mem), name)[tp("t", 0)]; got > to {
						t.Errorf("%s says %d after all above %d was given up", name, got, to)
					}
				}
				must(t, m.Close(true, 1))
			})
		}
	}
}
