//go:build !wasip1

package raftstore_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	hraft "github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/distributedmq/dmq/kraft/raftstore"
)

var quiet = slog.New(slog.DiscardHandler)

// media are the things a store can lie on; each opens the same medium again and again.
func media(t *testing.T) map[string]func(t *testing.T) *raftstore.Store {
	t.Helper()
	fatal := func(err error) { t.Errorf("fatal: %v", err) }
	disk, fs, dir := raftstore.NewDisk(), vfs.NewMem(), t.TempDir()
	return map[string]func(t *testing.T) *raftstore.Store{
		"memory": func(t *testing.T) *raftstore.Store {
			t.Helper()
			return must(disk.Open(quiet, fatal))
		},
		"pebble in memory": func(t *testing.T) *raftstore.Store {
			t.Helper()
			return must(raftstore.Open(raftstore.Options{Dir: "raft", FS: fs, Logger: quiet, Fatal: fatal}))
		},
		"pebble on disk": func(t *testing.T) *raftstore.Store {
			t.Helper()
			return must(raftstore.Open(raftstore.Options{Dir: dir, Logger: quiet, Fatal: fatal}))
		},
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// onEach runs a test on each medium; reopen closes the store and opens it again.
func onEach(t *testing.T, fn func(t *testing.T, s *raftstore.Store, reopen func() *raftstore.Store)) {
	t.Helper()
	for name, open := range media(t) {
		t.Run(name, func(t *testing.T) {
			leaks := goleak.IgnoreCurrent()
			s := open(t)
			t.Cleanup(func() {
				check(t, s.Close())
				goleak.VerifyNone(t, leaks)
			})
			fn(t, s, func() *raftstore.Store {
				check(t, s.Close())
				s = open(t)
				return s
			})
		})
	}
}

func entry(index uint64) *hraft.Log {
	return &hraft.Log{
		Index: index, Term: index/10 + 1, Type: hraft.LogCommand,
		Data: []byte(fmt.Sprintf("data %d", index)), AppendedAt: time.Unix(0, int64(index)*1e9),
	}
}

func entries(from, to uint64) []*hraft.Log {
	var logs []*hraft.Log
	for i := from; i <= to; i++ {
		logs = append(logs, entry(i))
	}
	return logs
}

// checkLog compares the whole log.
func checkLog(t *testing.T, s *raftstore.Store, first, last uint64) {
	t.Helper()
	if got := must(s.FirstIndex()); got != first {
		t.Errorf("first index %d, want %d", got, first)
	}
	if got := must(s.LastIndex()); got != last {
		t.Errorf("last index %d, want %d", got, last)
	}
	var l hraft.Log
	for i := first; i <= last && i > 0; i++ {
		check(t, s.GetLog(i, &l))
		if diff := cmp.Diff(entry(i), &l); diff != "" {
			t.Errorf("entry %d: %s", i, diff)
		}
	}
	for _, i := range []uint64{0, first - 1, last + 1} {
		if (i < first || i > last) && !errors.Is(s.GetLog(i, &l), hraft.ErrLogNotFound) {
			t.Errorf("entry %d exists", i)
		}
	}
}

func TestStore_Log(t *testing.T) {
	onEach(t, func(t *testing.T, s *raftstore.Store, reopen func() *raftstore.Store) {
		t.Helper()
		checkLog(t, s, 0, 0)
		check(t, s.StoreLogs(entries(1, 20)))
		check(t, s.StoreLog(entry(21)))
		checkLog(t, s, 1, 21)
		if err := s.StoreLog(entry(23)); err == nil {
			t.Error("a gap was accepted")
		}
		if err := s.StoreLogs([]*hraft.Log{entry(22), entry(24)}); err == nil {
			t.Error("a gap within a batch was accepted")
		}
		if err := s.DeleteRange(5, 8); err == nil {
			t.Error("a hole was accepted")
		}
		check(t, s.DeleteRange(19, 21)) // a suffix, then other entries in its place
		checkLog(t, s, 1, 18)
		check(t, s.StoreLogs(entries(19, 30)))
		s = reopen()
		checkLog(t, s, 1, 30)
		check(t, s.DeleteRange(1, 30))
		checkLog(t, s, 0, 0)
		check(t, s.StoreLogs(entries(1000, 1001))) // after a snapshot was installed
		s = reopen()
		checkLog(t, s, 1000, 1001)
	})
}

func TestStore_OverruledEntriesAreForgotten(t *testing.T) {
	onEach(t, func(t *testing.T, s *raftstore.Store, _ func() *raftstore.Store) {
		t.Helper()
		check(t, s.StoreLogs(entries(1, 50)))
		check(t, s.GetLog(1, new(hraft.Log))) // reads ahead
		check(t, s.DeleteRange(20, 50))
		var l hraft.Log
		if err := s.GetLog(20, &l); !errors.Is(err, hraft.ErrLogNotFound) {
			t.Errorf("a deleted entry: %v", err)
		}
		check(t, s.StoreLog(&hraft.Log{Index: 20, Term: 9, Data: []byte("other")}))
		check(t, s.GetLog(20, &l))
		if l.Term != 9 || string(l.Data) != "other" {
			t.Errorf("entry 20 is %+v", l)
		}
	})
}

func TestStore_LogKeepsExtensions(t *testing.T) {
	onEach(t, func(t *testing.T, s *raftstore.Store, reopen func() *raftstore.Store) {
		t.Helper()
		want := &hraft.Log{Index: 1, Term: 1, Type: hraft.LogConfiguration, Data: []byte("d"), Extensions: []byte("ext")}
		empty := &hraft.Log{Index: 2, Term: 1, Type: hraft.LogNoop}
		check(t, s.StoreLogs([]*hraft.Log{want, empty}))
		s = reopen()
		var got hraft.Log
		check(t, s.GetLog(1, &got))
		if diff := cmp.Diff(want, &got); diff != "" {
			t.Error(diff)
		}
		check(t, s.GetLog(2, &got))
		if diff := cmp.Diff(empty, &got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStore_Stable(t *testing.T) {
	onEach(t, func(t *testing.T, s *raftstore.Store, reopen func() *raftstore.Store) {
		t.Helper()
		for _, key := range []string{"CurrentTerm", "LastVoteTerm", "LastVoteCand", "other"} {
			if _, err := s.Get([]byte(key)); err == nil || err.Error() != "not found" {
				t.Errorf("Get(%s) of nothing: %v, want exactly: not found", key, err)
			}
			if _, err := s.GetUint64([]byte(key)); err == nil || err.Error() != "not found" {
				t.Errorf("GetUint64(%s) of nothing: %v, want exactly: not found", key, err)
			}
		}
		check(t, s.SetUint64([]byte("CurrentTerm"), 0))
		check(t, s.SetUint64([]byte("CurrentTerm"), 7))
		check(t, s.SetUint64([]byte("LastVoteTerm"), 7))
		check(t, s.Set([]byte("LastVoteCand"), []byte("2")))
		check(t, s.Set([]byte("other"), []byte("x")))
		s = reopen()
		if got := must(s.GetUint64([]byte("CurrentTerm"))); got != 7 {
			t.Errorf("CurrentTerm %d", got)
		}
		if got := must(s.GetUint64([]byte("LastVoteTerm"))); got != 7 {
			t.Errorf("LastVoteTerm %d", got)
		}
		if got := must(s.Get([]byte("LastVoteCand"))); string(got) != "2" {
			t.Errorf("LastVoteCand %q", got)
		}
		if got := must(s.Get([]byte("other"))); string(got) != "x" {
			t.Errorf("other %q", got)
		}
		if err := s.Set([]byte("LastVoteCand"), []byte("3")); err == nil {
			t.Error("a candidate without a term was accepted")
		}
	})
}

func TestStore_VoteIsOneRecord(t *testing.T) {
	onEach(t, func(t *testing.T, s *raftstore.Store, reopen func() *raftstore.Store) {
		t.Helper()
		check(t, s.SetUint64([]byte("LastVoteTerm"), 3))
		check(t, s.Set([]byte("LastVoteCand"), []byte("1")))
		check(t, s.SetUint64([]byte("CurrentTerm"), 4))
		check(t, s.SetUint64([]byte("LastVoteTerm"), 4)) // the crash comes before the candidate
		s = reopen()
		if term, cand := must(s.GetUint64([]byte("LastVoteTerm"))), must(s.Get([]byte("LastVoteCand"))); term != 3 || string(cand) != "1" {
			t.Errorf("after a torn vote: term %d for %q, want the vote before: 3 for 1", term, cand)
		}
		if got := must(s.GetUint64([]byte("CurrentTerm"))); got != 4 {
			t.Errorf("CurrentTerm %d, want 4", got)
		}
	})
}

// takeSnapshot writes a snapshot of n bytes.
func takeSnapshot(t *testing.T, s *raftstore.Store, index uint64, n int) []byte {
	t.Helper()
	data := make([]byte, n)
	r := rand.New(rand.NewPCG(index, 1))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	configuration := hraft.Configuration{Servers: []hraft.Server{{ID: "1", Address: "1", Suffrage: hraft.Voter}}}
	sink := must(s.Snapshots().Create(1, index, index/10+1, configuration, 1, nil))
	for rest := data; len(rest) > 0; {
		k := min(len(rest), 70_000)
		must(sink.Write(rest[:k]))
		rest = rest[k:]
	}
	check(t, sink.Close())
	check(t, sink.Close())
	return data
}

func listed(t *testing.T, s *raftstore.Store) []uint64 {
	t.Helper()
	var indexes []uint64
	for _, m := range must(s.Snapshots().List()) {
		indexes = append(indexes, m.Index)
	}
	return indexes
}

func TestStore_Snapshots(t *testing.T) {
	onEach(t, func(t *testing.T, s *raftstore.Store, reopen func() *raftstore.Store) {
		t.Helper()
		check(t, s.StoreLogs(entries(1, 100)))
		takeSnapshot(t, s, 10, 0)
		check(t, s.DeleteRange(1, 10))
		checkLog(t, s, 1, 100) // one snapshot only: the log must still reach back to the beginning
		takeSnapshot(t, s, 20, 1000)
		check(t, s.DeleteRange(1, 20))
		checkLog(t, s, 11, 100) // back to the older one
		want := takeSnapshot(t, s, 30, 1<<20)
		s = reopen()
		if diff := cmp.Diff([]uint64{30, 20}, listed(t, s)); diff != "" {
			t.Errorf("snapshots kept: %s", diff)
		}
		list := must(s.Snapshots().List())
		meta, r, err := s.Snapshots().Open(list[0].ID)
		check(t, err)
		got := must(io.ReadAll(r))
		check(t, r.Close())
		if string(got) != string(want) {
			t.Error("the snapshot reads back differently")
		}
		if diff := cmp.Diff(list[0], meta); diff != "" || meta.Size != 1<<20 || meta.Term != 4 || len(meta.Configuration.Servers) != 1 {
			t.Errorf("meta %+v: %s", meta, diff)
		}
		if _, _, err := s.Snapshots().Open("nonsense"); err == nil {
			t.Error("a snapshot that does not exist opens")
		}
		cancelled := must(s.Snapshots().Create(1, 40, 5, hraft.Configuration{}, 1, nil))
		must(cancelled.Write(make([]byte, 1<<20)))
		check(t, cancelled.Cancel())
		unfinished := must(s.Snapshots().Create(1, 50, 5, hraft.Configuration{}, 1, nil))
		must(unfinished.Write(make([]byte, 1<<20)))
		s = reopen()
		if diff := cmp.Diff([]uint64{30, 20}, listed(t, s)); diff != "" {
			t.Errorf("snapshots kept: %s", diff)
		}
	})
}

func TestStore_SetsDamagedSnapshotAside(t *testing.T) {
	disk := raftstore.NewDisk()
	fatal := func(err error) { t.Errorf("fatal: %v", err) }
	s := must(disk.Open(quiet, fatal))
	check(t, s.StoreLogs(entries(1, 100)))
	takeSnapshot(t, s, 10, 300_000)
	takeSnapshot(t, s, 20, 300_000)
	check(t, s.DeleteRange(1, 20))
	disk.Corrupt(func(key, _ []byte) bool { return key[0] == 'd' })
	list := must(s.Snapshots().List())
	if _, _, err := s.Snapshots().Open(list[0].ID); !errors.Is(err, raftstore.ErrDamaged) {
		t.Fatalf("a damaged snapshot opens: %v", err)
	}
	s = must(disk.Open(quiet, fatal))
	if diff := cmp.Diff([]uint64{10}, listed(t, s)); diff != "" {
		t.Errorf("snapshots: %s", diff)
	}
	checkLog(t, s, 11, 100) // reaches back to the one that is left
	_, _, err := s.Snapshots().Open(must(s.Snapshots().List())[0].ID)
	check(t, err)
}

func TestStore_ReportsDamage(t *testing.T) {
	disk := raftstore.NewDisk()
	fatal := func(err error) { t.Errorf("fatal: %v", err) }
	s := must(disk.Open(quiet, fatal))
	check(t, s.StoreLogs(entries(1, 3)))
	check(t, s.SetUint64([]byte("LastVoteTerm"), 3))
	check(t, s.Set([]byte("LastVoteCand"), []byte("1")))
	disk.Corrupt(func(key, _ []byte) bool { return key[0] == 'l' && key[8] == 1 })
	if err := s.GetLog(1, new(hraft.Log)); !errors.Is(err, raftstore.ErrDamaged) {
		t.Errorf("a damaged entry: %v", err)
	}
	disk.Corrupt(func(key, _ []byte) bool { return key[0] == 'v' })
	if _, err := disk.Open(quiet, fatal); !errors.Is(err, raftstore.ErrDamaged) {
		t.Errorf("a damaged vote: %v", err)
	}
}

func TestStore_DeadAfterFailedWrite(t *testing.T) {
	for _, write := range []struct {
		name string
		do   func(s *raftstore.Store) error
	}{
		{"log", func(s *raftstore.Store) error { return s.StoreLog(entry(2)) }},
		{"term", func(s *raftstore.Store) error { return s.SetUint64([]byte("CurrentTerm"), 9) }},
		{"vote", func(s *raftstore.Store) error {
			return errors.Join(s.SetUint64([]byte("LastVoteTerm"), 9), s.Set([]byte("LastVoteCand"), []byte("1")))
		}},
		{"compaction", func(s *raftstore.Store) error { return s.DeleteRange(1, 1) }},
		{"snapshot", func(s *raftstore.Store) error {
			return must(s.Snapshots().Create(1, 1, 1, hraft.Configuration{}, 1, nil)).Close()
		}},
	} {
		t.Run(write.name, func(t *testing.T) {
			disk := raftstore.NewDisk()
			var reported []error
			s := must(disk.Open(quiet, func(err error) { reported = append(reported, err) }))
			check(t, s.StoreLog(entry(1)))
			boom := errors.New("input/output error")
			disk.FailWrites(func() error { return boom })
			if err := write.do(s); !errors.Is(err, boom) {
				t.Fatalf("the failed write says %v", err)
			}
			disk.FailWrites(nil) // the disk claims to be well again: it is not believed
			for name, err := range map[string]error{
				"append": s.StoreLog(entry(2)),
				"read":   s.GetLog(1, new(hraft.Log)),
				"term":   s.SetUint64([]byte("CurrentTerm"), 10),
			} {
				if !errors.Is(err, boom) {
					t.Errorf("%s after the failure: %v", name, err)
				}
			}
			if len(reported) != 1 || !strings.Contains(reported[0].Error(), "input/output") {
				t.Errorf("fatal hook got %v", reported)
			}
			check(t, s.Close())
		})
	}
}

func TestStore_ClosedIsClosed(t *testing.T) {
	s := raftstore.Memory()
	check(t, s.Close())
	check(t, s.Close())
	if err := s.StoreLog(entry(1)); !errors.Is(err, raftstore.ErrClosed) {
		t.Errorf("append to a closed store: %v", err)
	}
}
