package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/distributedmq/dmq/log/vfs"
)

func names(t *testing.T, fsys vfs.FS, dir string) []string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCrashClone_KeepsExactlyWhatWasSynced(t *testing.T) {
	m := vfs.NewMem()
	f := create(t, m, "/f", []byte("synced"))
	must(t, f.SyncData())
	must(t, m.SyncDir("/"))
	_, err := f.WriteAt([]byte("SYNCED and more"), 0)
	must(t, err)
	create(t, m, "/unnamed", []byte("x")).Sync()
	must(t, m.Rename("/f", "/g"))

	c := m.CrashClone(vfs.CrashOptions{})
	wantContent(t, c, "/f", []byte("synced"))
	if got := names(t, c, "/"); !slices.Equal(got, []string{"f"}) {
		t.Errorf("after the crash: %q, want only f", got)
	}
	wantContent(t, m, "/g", []byte("SYNCED and more"))

	all := m.CrashClone(vfs.CrashOptions{SurvivePercent: 100})
	wantContent(t, all, "/g", []byte("SYNCED and more"))
	wantContent(t, all, "/unnamed", []byte("x"))
}

func TestCrashClone_TruncateNeedsSync(t *testing.T) {
	m := vfs.NewMem()
	content := bytes.Repeat([]byte("a"), 3*4096)
	f := create(t, m, "/f", content)
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	must(t, f.Truncate(100))
	wantContent(t, m.CrashClone(vfs.CrashOptions{}), "/f", content)
	must(t, f.SyncData())
	wantContent(t, m.CrashClone(vfs.CrashOptions{}), "/f", content[:100])
	must(t, f.Truncate(200))
	must(t, f.SyncData())
	wantContent(t, m.CrashClone(vfs.CrashOptions{}), "/f", append(content[:100:100], make([]byte, 100)...))
}

func TestCrashClone_RenameIsAtomic(t *testing.T) {
	m := vfs.NewMem()
	must(t, vfs.WriteFileAtomic(m, "/f", []byte("old")))
	seen := map[string]int{}
	for seed := range uint64(200) {
		c := m.CrashClone(vfs.CrashOptions{})
		fail := errors.New("stop before the folder is synced")
		err := vfs.WriteFileAtomic(vfs.Inject(c, func(op vfs.Op, _ string, _ int) error {
			if op == vfs.OpSyncDir {
				return fail
			}
			return nil
		}), "/f", []byte("new"))
		wantErr(t, "write without the folder's sync", err, fail)
		after := c.CrashClone(vfs.CrashOptions{Rand: rand.New(rand.NewPCG(seed, 0)), SurvivePercent: 50})
		got, err := vfs.ReadFile(after, "/f")
		must(t, err)
		seen[string(got)]++
	}
	if seen["old"] == 0 || seen["new"] == 0 || len(seen) != 2 {
		t.Errorf("after 200 crashes: %v, want some old and some new and nothing else", seen)
	}
}

func TestCrashClone_LosesAndTearsBlocksByChance(t *testing.T) {
	m := vfs.NewMem()
	f := create(t, m, "/f", bytes.Repeat([]byte("o"), 64*4096))
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	_, err := f.WriteAt(bytes.Repeat([]byte("n"), 64*4096), 0)
	must(t, err)
	c := m.CrashClone(vfs.CrashOptions{Rand: rand.New(rand.NewPCG(7, 7)), SurvivePercent: 50})
	got, err := vfs.ReadFile(c, "/f")
	must(t, err)
	var kept, lost, torn int
	for b := range slices.Chunk(got, 4096) {
		switch n := bytes.Count(b, []byte("n")); {
		case n == 4096:
			kept++
		case n == 0:
			lost++
		case n%512 == 0:
			torn++
		default:
			t.Fatalf("a sector was torn: %d new bytes", n)
		}
	}
	if kept < 10 || lost < 10 || torn < 1 {
		t.Errorf("kept %d, lost %d, torn %d blocks: want some of each", kept, lost, torn)
	}
	again := m.CrashClone(vfs.CrashOptions{Rand: rand.New(rand.NewPCG(7, 7)), SurvivePercent: 50})
	wantContent(t, again, "/f", got)
}

func TestCrashClone_IsIndependent(t *testing.T) {
	m := vfs.NewMem()
	f := create(t, m, "/f", []byte("aaaa"))
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	_, err := f.WriteAt([]byte("b"), 0)
	must(t, err)
	c := m.CrashClone(vfs.CrashOptions{SurvivePercent: 100})
	_, err = f.WriteAt([]byte("cc"), 0)
	must(t, err)
	wantContent(t, c, "/f", []byte("baaa"))
	g, err := c.OpenFile("/f", vfs.ReadWrite, 0)
	must(t, err)
	_, err = g.WriteAt([]byte("zzzz"), 0)
	must(t, err)
	wantContent(t, m, "/f", []byte("ccaa"))
	wantContent(t, c.CrashClone(vfs.CrashOptions{}), "/f", []byte("baaa"))
	if _, err := c.Lock("/lock"); err != nil {
		t.Error(err)
	}
	if _, err := c.CrashClone(vfs.CrashOptions{}).Lock("/lock"); err != nil {
		t.Errorf("a lock survived a crash: %v", err)
	}
}

func TestInject_FailedSyncIsNotMadeGoodByARetry(t *testing.T) {
	m := vfs.NewMem()
	eio := true
	fsys := vfs.Inject(m, func(op vfs.Op, _ string, _ int) error {
		if op == vfs.OpSyncData && eio {
			eio = false
			return syscall.EIO
		}
		return nil
	})
	f := create(t, fsys, "/f", []byte("lost"))
	must(t, m.SyncDir("/"))
	wantErr(t, "first sync", f.SyncData(), syscall.EIO)
	must(t, f.SyncData())
	got, err := vfs.ReadFile(m.CrashClone(vfs.CrashOptions{}), "/f")
	must(t, err)
	if bytes.Contains(got, []byte("lost")) {
		t.Error("bytes of a failed sync are there after a crash: the retry must not save them")
	}
	wantContent(t, m, "/f", []byte("lost"))
}

func TestInject_CountsAndLabels(t *testing.T) {
	var log []string
	fsys := vfs.Inject(vfs.NewMem(), func(op vfs.Op, name string, n int) error {
		log = append(log, fmt.Sprintf("%d %s %s", n, op, name))
		return nil
	})
	must(t, vfs.WriteFileAtomic(fsys, "/f", []byte("x")))
	want := []string{
		"1 create /f.tmp", "2 write /f.tmp", "3 sync /f.tmp", "4 close /f.tmp", "5 rename /f", "6 syncdir /",
	}
	if !slices.Equal(log, want) {
		t.Errorf("got  %q\nwant %q", log, want)
	}
}

func TestInject_EveryOperationCanFail(t *testing.T) {
	boom := errors.New("boom")
	m := vfs.NewMem()
	create(t, m, "/f", []byte("x")).Close()
	for op := vfs.OpOpen; op <= vfs.OpClose; op++ {
		fsys := vfs.Inject(m, func(o vfs.Op, _ string, _ int) error {
			if o == op {
				return boom
			}
			return nil
		})
		if err := everything(fsys); !errors.Is(err, boom) {
			t.Errorf("%s: got %v, want the injected error", op, err)
		}
		var pathErr *fs.PathError
		if err := everything(fsys); !errors.As(err, &pathErr) || pathErr.Op != op.String() {
			t.Errorf("%s: error %v does not name the operation", op, err)
		}
	}
	if vfs.Op(200).String() != "op(200)" {
		t.Error("an unknown operation has no name")
	}
}

// everything calls every method and returns the first error.
func everything(fsys vfs.FS) error {
	steps := []func() error{
		func() error { return fsys.MkdirAll("/d", 0o755) },
		func() error { return fsys.SyncDir("/d") },
		func() error { _, err := fsys.Stat("/d"); return err },
		func() error { return fsys.SetModTime("/f", time.UnixMilli(1)) },
		func() error { _, err := fsys.ReadDir("/"); return err },
		func() error { _, err := fsys.Usage("/"); return err },
		func() error {
			l, err := fsys.Lock("/l")
			if err != nil {
				return err
			}
			return l.Close()
		},
		func() error { return vfs.WriteFileAtomic(fsys, "/g", []byte("x")) },
		func() error { _, err := vfs.ReadFile(fsys, "/f"); return err },
		func() error {
			f, err := fsys.OpenFile("/h", vfs.ReadWrite|vfs.Create, 0o644)
			if err != nil {
				return err
			}
			_, err = f.WritevAt([][]byte{{1}, {2}}, 0)
			return errors.Join(err, f.Truncate(1), f.SyncData(), f.Close())
		},
		func() error { return fsys.Remove("/h") },
		func() error { return fsys.RemoveAll("/d") },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func TestMem_FullDisk(t *testing.T) {
	m := vfs.NewMem()
	m.SetCapacity(10)
	f := create(t, m, "/f", []byte("12345678"))
	n, err := f.WriteAt([]byte("abcd"), 8)
	if n != 2 || !vfs.IsNoSpace(err) {
		t.Errorf("write over the end of the disk: got %d, %v, want 2, ENOSPC", n, err)
	}
	if _, err := f.WriteAt([]byte("ABCD"), 0); err != nil {
		t.Errorf("overwrite on a full disk: %v", err)
	}
	if u, err := m.Usage("/"); err != nil || u != (vfs.Usage{Total: 10, Free: 0}) {
		t.Errorf("usage %+v %v", u, err)
	}
	must(t, f.Truncate(4))
	if _, err := f.WriteAt([]byte("wxyz"), 4); err != nil {
		t.Errorf("write after truncate: %v", err)
	}
	must(t, m.Remove("/f"))
	if u, _ := m.Usage("/"); u.Free != 10 {
		t.Errorf("after remove %+v, want all free", u)
	}
	if vfs.IsNoSpace(nil) || vfs.IsNoSpace(syscall.EIO) {
		t.Error("IsNoSpace takes anything")
	}
}

func TestMem_RenameBetweenFoldersIsRefused(t *testing.T) {
	m := vfs.NewMem()
	must(t, m.MkdirAll("/a", 0o755))
	create(t, m, "/f", nil).Close()
	if err := m.Rename("/f", "/a/f"); err == nil {
		t.Error("got no error")
	}
}

func TestMem_Concurrent(t *testing.T) {
	m := vfs.NewMem()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				name := fmt.Sprintf("/%d-%d", g, i%5)
				if err := vfs.WriteFileAtomic(m, name, []byte(name)); err != nil {
					t.Error(err)
				}
				c := m.CrashClone(vfs.CrashOptions{Rand: rand.New(rand.NewPCG(1, uint64(g))), SurvivePercent: 50})
				if got, err := vfs.ReadFile(c, name); err != nil || string(got) != name {
					t.Errorf("after a crash %s holds %q, %v", name, got, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestMem_Model checks a file against a slice of bytes, and that a crash with nothing surviving leaves the last sync.
func TestMem_Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := vfs.NewMem()
		f, err := m.OpenFile("/f", vfs.ReadWrite|vfs.Create, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.SyncDir("/"); err != nil {
			t.Fatal(err)
		}
		var live, synced []byte
		check := func(fsys vfs.FS, want []byte) {
			got, err := vfs.ReadFile(fsys, "/f")
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes, want %d (%v)", len(got), len(want), err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { check(m, live) },
			"write": func(t *rapid.T) {
				off, n := rapid.IntRange(0, 20000).Draw(t, "off"), rapid.IntRange(1, 9000).Draw(t, "n")
				p := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, n)
				if _, err := f.WriteAt(p, int64(off)); err != nil {
					t.Fatal(err)
				}
				if grow := off + n - len(live); grow > 0 {
					live = append(live, make([]byte, grow)...)
				}
				copy(live[off:], p)
			},
			"truncate": func(t *rapid.T) {
				size := rapid.IntRange(0, 25000).Draw(t, "size")
				if err := f.Truncate(int64(size)); err != nil {
					t.Fatal(err)
				}
				live = append(live[:min(size, len(live))], make([]byte, max(0, size-len(live)))...)
			},
			"sync": func(t *rapid.T) {
				if err := f.SyncData(); err != nil {
					t.Fatal(err)
				}
				synced = slices.Clone(live)
			},
			"crash keeping nothing":    func(*rapid.T) { check(m.CrashClone(vfs.CrashOptions{}), synced) },
			"crash keeping everything": func(*rapid.T) { check(m.CrashClone(vfs.CrashOptions{SurvivePercent: 100}), live) },
			"crash by chance": func(t *rapid.T) {
				seed := rapid.Uint64().Draw(t, "seed")
				c := m.CrashClone(vfs.CrashOptions{Rand: rand.New(rand.NewPCG(seed, 1)), SurvivePercent: 50})
				got, err := vfs.ReadFile(c, "/f")
				lo, hi := min(len(live), len(synced)), max(len(live), len(synced))
				if err != nil || len(got) < lo || len(got) > hi {
					t.Fatalf("size %d, want %d to %d (%v)", len(got), lo, hi, err)
				}
			},
		})
	})
}
