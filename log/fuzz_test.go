package log_test

import (
	"errors"
	"fmt"
	"testing"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

const fuzzPrefix = 3 // batches of two records that are whole before what the fuzzer adds

// damagedLog returns a filesystem with a killed log: whole batches, then tail; its index files hold index.
func damagedLog(t *testing.T, tail, offsetIndex, timeIndex []byte) *vfs.Mem {
	t.Helper()
	m := newMem(t)
	if err := m.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	var data []byte
	for i := range fuzzPrefix {
		b := batchAt(t, records.BuilderOptions{}, int64(1000*i), fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i))
		b.SetBaseOffset(int64(2 * i))
		b.SetPartitionLeaderEpoch(0)
		data = append(data, b...)
	}
	for name, content := range map[string][]byte{".log": append(data, tail...), ".index": offsetIndex, ".timeindex": timeIndex} {
		if err := vfs.WriteFileAtomic(m, testDir+"/00000000000000000000"+name, content); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// checkRecovered opens the log as after a kill and holds it to what recovery promises: it does not panic; damage is an
// error or is cut; what was whole is served as it was written; every batch served is valid and offsets rise; opening again
// changes nothing.
func checkRecovered(t *testing.T, m *vfs.Mem, recoveryPoint int64) {
	t.Helper()
	var ends [2]int64
	for round := range ends {
		l, err := openTestLog(t, m, func(o *commitlog.Options) { o.RecoveryPoint = recoveryPoint })
		if _, corrupt := errors.AsType[*commitlog.CorruptError](err); corrupt {
			return
		}
		if err != nil {
			t.Fatalf("open: %v, want a log or corruption", err)
		}
		ends[round] = l.LogEndOffset()
		if ends[round] < 2*fuzzPrefix {
			t.Fatalf("the log ends at %d: whole batches up to %d were lost", ends[round], 2*fuzzPrefix)
		}
		readAll(t, l)
		if err := l.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	if ends[0] != ends[1] {
		t.Fatalf("the log ends at %d, and at %d when it is opened again", ends[0], ends[1])
	}
}

// readAll reads a log from its start to its end, batch by batch.
func readAll(t *testing.T, l *testLog) {
	t.Helper()
	next := l.LogStartOffset()
	for next < l.LogEndOffset() {
		s, err := l.Read(next, 1<<20, l.LogEndOffset(), true)
		if err != nil {
			t.Fatalf("read at %d: %v", next, err)
		}
		b := make([]byte, s.Size())
		if _, err := s.ReadAt(b, 0); err != nil {
			t.Fatalf("read at %d: %v", next, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		before := next
		for len(b) > 0 {
			batch, rest, err := records.Split(b)
			if errors.Is(err, records.ErrLegacy) {
				return // an old message set has a format of its own
			}
			if err == nil {
				err = batch.VerifyCRC()
			}
			if err != nil {
				t.Fatalf("served at %d: %v", next, err)
			}
			if batch.LastOffset() < next {
				t.Fatalf("batch [%d, %d] was served at %d", batch.BaseOffset(), batch.LastOffset(), next)
			}
			next, b = batch.NextOffset(), rest
		}
		if next == before {
			t.Fatalf("nothing was read at %d of %d", next, l.LogEndOffset())
		}
	}
}

func FuzzLogRecover(f *testing.F) {
	whole := func(offset int64) []byte {
		b := records.NewBuilder(records.BuilderOptions{})
		b.Append(5000, []byte("k"), []byte("v"))
		batch, err := b.Bytes()
		if err != nil {
			f.Fatal(err)
		}
		batch.SetBaseOffset(offset)
		return batch
	}
	f.Add([]byte{}, int64(0))
	f.Add(make([]byte, 100), int64(6))
	f.Add(whole(6), int64(0))
	f.Add(whole(6)[:40], int64(6))
	f.Add(append(whole(6)[:61:61], whole(7)...), int64(0))
	f.Add(whole(2), int64(0))
	f.Add(whole(1<<40), int64(0))
	f.Fuzz(func(t *testing.T, tail []byte, recoveryPoint int64) {
		if len(tail) > 1<<20 {
			t.Skip("larger than any tail of interest")
		}
		checkRecovered(t, damagedLog(t, tail, nil, nil), max(0, recoveryPoint))
	})
}

func FuzzLogIndexes(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add(make([]byte, 8), make([]byte, 12))
	f.Add(make([]byte, 4096), make([]byte, 4096))
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0}, []byte{1, 2, 3})
	f.Add([]byte{0, 0, 0, 5, 0, 0, 0, 200, 0, 0, 0, 3, 0, 0, 0, 10}, []byte{0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, offsetIndex, timeIndex []byte) {
		if len(offsetIndex)+len(timeIndex) > 1<<20 {
			t.Skip("larger than any index of interest")
		}
		checkRecovered(t, damagedLog(t, nil, offsetIndex, timeIndex), 0)
	})
}
