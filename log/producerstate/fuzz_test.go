package producerstate_test

import (
	"errors"
	"testing"

	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/vfs"
)

// FuzzReadSnapshot feeds arbitrary bytes as a snapshot: a typed error, or entries that a manager loads and writes back.
func FuzzReadSnapshot(f *testing.F) {
	f.Add(snapshotBytes(1, 0))
	f.Add(snapshotBytes(1, 2, entryOf(1, 5, -1), entryOf(2, 6, 3)))
	f.Add(snapshotBytes(1, 3, entryOf(1, 5, -1)))
	f.Add([]byte{0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := vfs.NewMem()
		writeSnapshots(t, fsys, map[int64][]byte{10: b})
		entries, err := producerstate.ReadSnapshot(fsys, "/t-0/"+producerstate.SnapshotName(10))
		var corrupt *producerstate.CorruptSnapshotError
		if err != nil && !errors.As(err, &corrupt) {
			t.Fatalf("got %v", err)
		}
		m := open(t, fsys, nil)
		must(t, m.TruncateAndReload(0, 10, 0))
		if err != nil {
			if len(snapshotFiles(t, fsys)) != 0 {
				t.Fatal("a corrupt snapshot was kept")
			}
			return
		}
		if m.ProducerCount() > len(entries) {
			t.Fatalf("%d producers from %d entries", m.ProducerCount(), len(entries))
		}
		must(t, add(m, batch(1<<40, 0, 0, 1, 10), replication))
		path, err := m.TakeSnapshot(true)
		must(t, err)
		if _, err := producerstate.ReadSnapshot(fsys, path); err != nil {
			t.Fatal(err)
		}
	})
}
