//go:build !wasip1

package raftstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/distributedmq/dmq/kraft/raftstore"
)

// state is what a store must give back: either all before or all after the write that was under way.
type state struct {
	term, voteTerm uint64
	candidate      string
	first, last    uint64
	snapshot       uint64 // index of the newest
}

func read(s *raftstore.Store) (st state, err error) {
	var errs []error
	number := func(key string) uint64 {
		v, err := s.GetUint64([]byte(key))
		if err != nil && err.Error() != "not found" {
			errs = append(errs, err)
		}
		return v
	}
	st.term, st.voteTerm = number("CurrentTerm"), number("LastVoteTerm")
	if c, err := s.Get([]byte("LastVoteCand")); err == nil {
		st.candidate = string(c)
	}
	st.first, err = s.FirstIndex()
	errs = append(errs, err)
	st.last, err = s.LastIndex()
	errs = append(errs, err)
	list, err := s.Snapshots().List()
	errs = append(errs, err)
	if len(list) > 0 {
		st.snapshot = list[0].Index
		_, _, err := s.Snapshots().Open(list[0].ID)
		errs = append(errs, err)
	}
	return st, errors.Join(errs...)
}

// step is one stable write of raft, as raft issues them.
type step struct {
	name string
	do   func(t *testing.T, s *raftstore.Store) error
}

func script() []step {
	var steps []step
	add := func(name string, do func(t *testing.T, s *raftstore.Store) error) {
		steps = append(steps, step{name, do})
	}
	last := uint64(0)
	for term := uint64(1); term <= 4; term++ {
		add("term", func(_ *testing.T, s *raftstore.Store) error { return s.SetUint64([]byte("CurrentTerm"), term) })
		add("vote term", func(_ *testing.T, s *raftstore.Store) error { return s.SetUint64([]byte("LastVoteTerm"), term) })
		add("vote candidate", func(_ *testing.T, s *raftstore.Store) error {
			return s.Set([]byte("LastVoteCand"), []byte(fmt.Sprint(term)))
		})
		from, to := last+1, last+10
		add("append", func(_ *testing.T, s *raftstore.Store) error { return s.StoreLogs(entries(from, to)) })
		add("overrule", func(_ *testing.T, s *raftstore.Store) error { return s.DeleteRange(to-1, to) })
		add("append again", func(_ *testing.T, s *raftstore.Store) error { return s.StoreLogs(entries(to-1, to)) })
		add("snapshot", func(t *testing.T, s *raftstore.Store) error {
			t.Helper()
			takeSnapshot(t, s, to-2, 300_000)
			return nil
		})
		add("compact", func(_ *testing.T, s *raftstore.Store) error { return s.DeleteRange(1, to-2) })
		last = to
	}
	return steps
}

// TestStore_CrashBetweenStableWrites crashes after every step, with unsynced data lost, kept, or kept by chance: what was
// acknowledged must be there, and the vote must be whole.
func TestStore_CrashBetweenStableWrites(t *testing.T) {
	steps := script()
	for _, keep := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("unsynced data kept %d %%", keep), func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			open := func(fs vfs.FS) *raftstore.Store {
				return must(raftstore.Open(raftstore.Options{
					Dir: "raft", FS: fs, Logger: quiet, Fatal: func(err error) { t.Errorf("fatal: %v", err) },
				}))
			}
			s := open(fs)
			defer func() { check(t, s.Close()) }()
			rng := rand.New(rand.NewPCG(1, uint64(keep)))
			for i, step := range steps {
				check(t, step.do(t, s))
				want := must(read(s))
				clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rng})
				crashed := open(clone)
				got, err := read(crashed)
				if err != nil || got != want {
					t.Errorf("crash after step %d (%s): %+v %v, want %+v", i, step.name, got, err, want)
				}
				if got.candidate != "" && got.candidate != fmt.Sprint(got.voteTerm) {
					t.Errorf("crash after step %d (%s): vote of term %d for %s", i, step.name, got.voteTerm, got.candidate)
				}
				check(t, crashed.Close())
			}
		})
	}
}

// TestStore_FailedSync fails the n-th sync of any file for every n: the hook is called once, at the first one, and nothing is
// acknowledged after it; what had been acknowledged is there after a crash, and the write under way whole or not at all.
func TestStore_FailedSync(t *testing.T) {
	n := 1
	for ; failSync(t, n); n++ {
	}
	if n < 20 {
		t.Errorf("only %d syncs were reached", n)
	}
}

// failSync reports whether the script reached the n-th sync. The hook must not return, so it blocks, and the store is left
// behind as a dying process leaves it.
func failSync(t *testing.T, n int) bool {
	t.Helper()
	fs := vfs.NewCrashableMem()
	var syncs atomic.Int64
	var armed atomic.Bool
	injected := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if armed.Load() && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo) &&
			syncs.Add(1) >= int64(n) {
			return errors.New("input/output error")
		}
		return nil
	}))
	died := make(chan error, 10)
	s := must(raftstore.Open(raftstore.Options{
		Dir: "raft", FS: injected, Logger: quiet,
		Fatal: func(err error) {
			died <- err
			select {}
		},
	}))
	armed.Store(true)
	reference := raftstore.Memory()
	for _, step := range script() {
		before := must(read(reference))
		check(t, step.do(t, reference))
		after := must(read(reference))
		done := make(chan error, 1)
		go func() { done <- run(t, step, s) }()
		select {
		case err := <-done:
			check(t, err)
			continue
		case err := <-died:
			if !strings.Contains(err.Error(), "input/output error") {
				t.Errorf("hook got %v", err)
			}
		}
		crashed := must(raftstore.Open(raftstore.Options{
			Dir: "raft", FS: fs.CrashClone(vfs.CrashCloneCfg{}), Logger: quiet, Fatal: func(err error) { t.Errorf("fatal: %v", err) },
		}))
		got, err := read(crashed)
		if err != nil || got != before && got != after {
			t.Errorf("sync %d failed in %s, then a crash: %+v %v, want %+v or %+v", n, step.name, got, err, before, after)
		}
		check(t, crashed.Close())
		if len(died) > 0 {
			t.Errorf("sync %d failed: %d more calls of the hook", n, len(died))
		}
		return true
	}
	armed.Store(false)
	check(t, s.Close())
	return false
}

// run turns a panic of a helper into its error.
func run(t *testing.T, st step, s *raftstore.Store) (err error) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return st.do(t, s)
}
