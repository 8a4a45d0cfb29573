package producerstate_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

// kafkaDir holds directories that Apache Kafka wrote; see the README there.
const kafkaDir = "../testdata/kafka-4.4.0"

func kafkaSnapshots(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(kafkaDir + "/*/*-*/*" + producerstate.SnapshotSuffix)
	must(t, err)
	if len(files) < 40 {
		t.Fatalf("found only %d snapshots", len(files))
	}
	return files
}

// TestKafkaSnapshots_ReadAsDumpLogSegmentsDoes compares what we read with what Kafka's own tool said.
func TestKafkaSnapshots_ReadAsDumpLogSegmentsDoes(t *testing.T) {
	dumps, err := filepath.Glob(kafkaDir + "/dump/*.txt")
	must(t, err)
	compared := 0
	for _, dump := range dumps {
		text, err := os.ReadFile(dump)
		must(t, err)
		for section := range strings.SplitSeq(string(text), "Dumping ") {
			file, lines, _ := strings.Cut(section, "\n")
			if !strings.HasSuffix(file, producerstate.SnapshotSuffix) {
				continue
			}
			entries, err := producerstate.ReadSnapshot(vfs.OS(), filepath.Join(kafkaDir, file))
			must(t, err)
			var got []string
			for _, e := range entries {
				got = append(got, dumpLine(e))
				compared++
			}
			want := slices.DeleteFunc(strings.Split(lines, "\n"), func(s string) bool { return s == "" })
			for i := range want { // the tool also prints what follows from the last sequence and the offset delta
				want[i], _, _ = strings.Cut(want[i], " firstSequence: ")
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s\n got %q\nwant %q", file, got, want)
			}
		}
	}
	if compared < 20 {
		t.Errorf("compared only %d producers", compared)
	}
}

func dumpLine(e producerstate.Entry) string {
	txn := "OptionalLong.empty"
	if e.CurrentTxnFirstOffset >= 0 {
		txn = fmt.Sprintf("OptionalLong[%d]", e.CurrentTxnFirstOffset)
	}
	return fmt.Sprintf("producerId: %d producerEpoch: %d coordinatorEpoch: %d currentTxnFirstOffset: %s lastTimestamp: %d",
		e.ProducerID, e.ProducerEpoch, e.CoordinatorEpoch, txn, e.LastTimestamp)
}

// TestKafkaSnapshots_WrittenBackAlike loads each snapshot and writes it again: the same bytes, but for the order of the
// producers, which is that of a hash map in Kafka.
func TestKafkaSnapshots_WrittenBackAlike(t *testing.T) {
	for _, file := range kafkaSnapshots(t) {
		b, err := os.ReadFile(file)
		must(t, err)
		fsys := vfs.NewMem()
		writeSnapshots(t, fsys, map[int64][]byte{10: b})
		m := open(t, fsys, nil)
		must(t, m.TruncateAndReload(0, 10, 0))
		m.SetMapEndOffset(11)
		path, err := m.TakeSnapshot(true)
		must(t, err)
		got, err := vfs.ReadFile(fsys, path)
		must(t, err)
		if !bytes.Equal(sortedEntries(b), sortedEntries(got)) || (len(b) <= 10+46 && !bytes.Equal(b, got)) {
			t.Errorf("%s\n got %x\nwant %x", file, got, b)
		}
	}
}

// sortedEntries sorts the entries and leaves the checksum out, which depends on their order.
func sortedEntries(b []byte) []byte {
	entries := slices.Collect(slices.Chunk(b[10:], 46))
	slices.SortFunc(entries, bytes.Compare)
	return slices.Concat(b[:2], b[6:10], bytes.Join(entries, nil))
}

// longAgo is after the timestamps of the records, which the script sets, and days before those of the markers.
const longAgo = 1_710_000_000_000

// TestKafkaLogs_ReplayedAlike replays the batches that Kafka wrote. At the offset of each of Kafka's snapshots the state
// must be what Kafka stored.
func TestKafkaLogs_ReplayedAlike(t *testing.T) {
	for _, partition := range []string{"idem-0", "idem-1", "txn-0", "plain-0", "__transaction_state-0"} {
		for _, dir := range []string{"clean", "killed"} {
			t.Run(dir+"/"+partition, func(t *testing.T) {
				folder := filepath.Join(kafkaDir, dir, partition)
				m := open(t, vfs.NewMem(), nil)
				compared := 0
				replay(t, folder, m, func(offset int64) {
					want, err := producerstate.ReadSnapshot(vfs.OS(), filepath.Join(folder, producerstate.SnapshotName(offset)))
					if err != nil {
						return // no snapshot here
					}
					slices.SortFunc(want, func(a, b producerstate.Entry) int { return int(a.ProducerID - b.ProducerID) })
					got := slices.DeleteFunc(m.ActiveProducers(), func(e producerstate.Entry) bool {
						_, kept := slices.BinarySearchFunc(want, e.ProducerID, func(w producerstate.Entry, id int64) int { return int(w.ProducerID - id) })
						return !kept && e.LastTimestamp < longAgo // Kafka dropped it when it was restarted: expired
					})
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("at offset %d (-Kafka +ours):\n%s", offset, diff)
					}
					compared++
				})
				if compared == 0 {
					t.Error("no snapshot was compared")
				}
				if offset, open := m.FirstUndecidedOffset(); partition == "txn-0" && (!open || offset != m.MapEndOffset()-1) {
					t.Errorf("open transaction: got %d %v, want the last record", offset, open)
				}
			})
		}
	}
}

// replay feeds the batches of a partition to the manager and calls at after each.
func replay(t *testing.T, folder string, m *producerstate.Manager, at func(offset int64)) {
	t.Helper()
	segments, err := filepath.Glob(folder + "/*.log")
	must(t, err)
	for _, segment := range segments {
		rest, err := os.ReadFile(segment)
		must(t, err)
		for len(rest) > 0 {
			var b records.Batch
			b, rest, err = records.Split(rest)
			must(t, err)
			u := m.Begin()
			if b.ProducerID() >= 0 {
				replayBatch(t, u, b)
			}
			for _, done := range slices.Clone(u.Commit(b.NextOffset())) {
				m.CompleteTxn(done)
			}
			at(b.NextOffset())
		}
	}
}

func replayBatch(t *testing.T, u *producerstate.Update, b records.Batch) {
	t.Helper()
	if !b.IsControl() {
		must(t, u.Append(producerstate.FromBatch(b), replication))
		return
	}
	mk, ok, err := producerstate.ParseMarker(b)
	must(t, err)
	if ok {
		must(t, u.AppendMarker(mk, replication))
	}
}
