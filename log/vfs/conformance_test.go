package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/log/vfs"
)

// TestConformance runs the same cases against every implementation: what holds for one must hold for all.
func TestConformance(t *testing.T) {
	none := func(vfs.Op, string, int) error { return nil }
	impls := []struct {
		name string
		make func(t *testing.T) (vfs.FS, string)
	}{
		{"os", func(t *testing.T) (vfs.FS, string) { return vfs.OS(), t.TempDir() }},
		{"mem", func(t *testing.T) (vfs.FS, string) { return vfs.NewMem(), filepath.FromSlash("/") }},
		{"inject over mem", func(t *testing.T) (vfs.FS, string) { return vfs.Inject(vfs.NewMem(), none), "/" }},
		{"clone of mem", func(t *testing.T) (vfs.FS, string) {
			return vfs.NewMem().CrashClone(vfs.CrashOptions{}), "/"
		}},
	}
	cases := []struct {
		name string
		run  func(t *testing.T, fsys vfs.FS, dir string)
	}{
		{"open flags", testOpenFlags},
		{"read and write", testReadWrite},
		{"vectors", testVectors},
		{"truncate", testTruncate},
		{"closed file", testClosedFile},
		{"folders", testFolders},
		{"rename", testRename},
		{"removed file stays readable", testRemovedOpenFile},
		{"lock", testLock},
		{"usage", testUsage},
		{"atomic write", testWriteFileAtomic},
		{"file ends", testReadAtEnd},
		{"modification time", testSetModTime},
	}
	for _, impl := range impls {
		for _, c := range cases {
			t.Run(impl.name+"/"+c.name, func(t *testing.T) {
				fsys, dir := impl.make(t)
				c.run(t, fsys, dir)
			})
		}
	}
}

func create(t *testing.T, fsys vfs.FS, name string, content []byte) vfs.File {
	t.Helper()
	f, err := fsys.OpenFile(name, vfs.ReadWrite|vfs.Create, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	return f
}

func wantContent(t *testing.T, fsys vfs.FS, name string, want []byte) {
	t.Helper()
	got, err := vfs.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s holds %d bytes %.60q, want %d bytes %.60q", name, len(got), got, len(want), want)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func testOpenFlags(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, "f")
	_, err := fsys.OpenFile(name, vfs.ReadWrite, 0)
	wantErr(t, "open a missing file", err, fs.ErrNotExist)
	f := create(t, fsys, name, []byte("abc"))
	if f.Name() != name {
		t.Errorf("name: got %q, want %q", f.Name(), name)
	}
	f.Close()
	_, err = fsys.OpenFile(name, vfs.ReadWrite|vfs.Create|vfs.Excl, 0o644)
	wantErr(t, "create an existing file exclusively", err, fs.ErrExist)
	create(t, fsys, name, nil).Close()
	wantContent(t, fsys, name, []byte("abc"))
	f, err = fsys.OpenFile(name, vfs.ReadOnly, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a file opened for reading took a write")
	}
	f.Close()
	f, err = fsys.OpenFile(name, vfs.ReadWrite|vfs.Create|vfs.Trunc, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	wantContent(t, fsys, name, nil)
	_, err = fsys.OpenFile(filepath.Join(name, "below"), vfs.ReadOnly, 0)
	if err == nil {
		t.Error("opened a file below a file")
	}
}

func testReadWrite(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, "f")
	f := create(t, fsys, name, nil)
	defer f.Close()
	model := make([]byte, 0, 1<<15)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		off := rng.IntN(1 << 14)
		p := make([]byte, rng.IntN(9000))
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		if _, err := f.WriteAt(p, int64(off)); err != nil {
			t.Fatal(err)
		}
		for len(p) > 0 && len(model) < off+len(p) {
			model = append(model, 0)
		}
		copy(model[min(off, len(model)):], p)
	}
	wantContent(t, fsys, name, model)
	got := make([]byte, 5000)
	if n, err := f.ReadAt(got, 4000); n != 5000 || err != nil || !bytes.Equal(got, model[4000:9000]) {
		t.Errorf("read in the middle: n %d, err %v", n, err)
	}
	info, err := f.Stat()
	if err != nil || info.Size() != int64(len(model)) || info.Name() != "f" || info.IsDir() {
		t.Errorf("stat: %v %v", info, err)
	}
	for _, sync := range []func() error{f.SyncData, f.Sync} {
		if err := sync(); err != nil {
			t.Error(err)
		}
	}
}

func testReadAtEnd(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "f"), []byte("abc"))
	defer f.Close()
	p := make([]byte, 8)
	for _, c := range []struct {
		off  int64
		want int
	}{{0, 3}, {2, 1}, {3, 0}, {100, 0}} {
		n, err := f.ReadAt(p, c.off)
		if n != c.want || !errors.Is(err, io.EOF) {
			t.Errorf("read 8 bytes at %d of 3: got %d, %v, want %d, EOF", c.off, n, err, c.want)
		}
	}
	if n, err := f.ReadAt(p[:2], 1); n != 2 || (err != nil && !errors.Is(err, io.EOF)) {
		t.Errorf("read up to the end: got %d, %v", n, err)
	}
	if _, err := f.ReadAt(p, -1); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read at -1: got %v, want an error", err)
	}
	if _, err := f.WriteAt(p, -1); err == nil {
		t.Error("write at -1: got no error")
	}
}

func testVectors(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, "f")
	f := create(t, fsys, name, []byte("head"))
	defer f.Close()
	want := []byte("head")
	off := int64(4)
	for _, count := range []int{0, 1, 2, 3, 1500} { // 1500: more than one call takes
		bufs := make([][]byte, count)
		for i := range bufs {
			bufs[i] = bytes.Repeat([]byte{byte('a' + i%26)}, i%7) // some of them empty
			want = append(want, bufs[i]...)
		}
		n, err := f.WritevAt(bufs, off)
		if err != nil || n != len(want)-int(off) {
			t.Fatalf("write %d vectors: got %d, %v, want %d", count, n, err, len(want)-int(off))
		}
		off += int64(n)
	}
	wantContent(t, fsys, name, want)
	if n, err := f.WritevAt([][]byte{nil, {}}, off); n != 0 || err != nil {
		t.Errorf("write of nothing: got %d, %v", n, err)
	}
}

func testTruncate(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, "f")
	content := bytes.Repeat([]byte("x"), 10000)
	f := create(t, fsys, name, content)
	defer f.Close()
	for _, step := range []struct {
		size int64
		want []byte
	}{
		{10000, content},
		{5000, content[:5000]},
		{9000, append(bytes.Repeat([]byte("x"), 5000), make([]byte, 4000)...)},
		{0, nil},
		{4096, make([]byte, 4096)},
	} {
		if err := f.Truncate(step.size); err != nil {
			t.Fatal(err)
		}
		wantContent(t, fsys, name, step.want)
	}
	if err := f.Truncate(-1); err == nil {
		t.Error("truncate to -1: got no error")
	}
}

func testClosedFile(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "f"), []byte("abc"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := f.ReadAt(make([]byte, 1), 0)
	wantErr(t, "read", err, fs.ErrClosed)
	_, err = f.WriteAt([]byte("a"), 0)
	wantErr(t, "write", err, fs.ErrClosed)
	_, err = f.WritevAt([][]byte{{1}, {2}}, 0)
	wantErr(t, "write vectors", err, fs.ErrClosed)
	wantErr(t, "sync data", f.SyncData(), fs.ErrClosed)
	wantErr(t, "sync", f.Sync(), fs.ErrClosed)
	wantErr(t, "truncate", f.Truncate(0), fs.ErrClosed)
	wantErr(t, "close", f.Close(), fs.ErrClosed)
	_, err = f.Stat()
	wantErr(t, "stat", err, fs.ErrClosed)
}

func testFolders(t *testing.T, fsys vfs.FS, dir string) {
	deep := filepath.Join(dir, "a", "b")
	for range 2 { // making it again is fine
		if err := fsys.MkdirAll(deep, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"z", "y", "x"} {
		create(t, fsys, filepath.Join(deep, name), []byte(name)).Close()
	}
	if err := fsys.MkdirAll(filepath.Join(deep, "x"), 0o755); err == nil {
		t.Error("made a folder in place of a file")
	}
	entries, err := fsys.ReadDir(deep)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
		if info, err := e.Info(); err != nil || info.Size() != 1 {
			t.Errorf("info of %s: %v %v", e.Name(), info, err)
		}
	}
	if diff := cmp.Diff([]string{"x", "y", "z"}, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	info, err := fsys.Stat(filepath.Join(dir, "a"))
	if err != nil || !info.IsDir() || info.Name() != "a" {
		t.Errorf("stat of a folder: %v %v", info, err)
	}
	if err := fsys.SyncDir(deep); err != nil {
		t.Error(err)
	}
	if err := fsys.Remove(deep); err == nil {
		t.Error("removed a folder that is not empty")
	}
	if err := fsys.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := fsys.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Errorf("remove a missing tree: %v", err)
	}
	_, err = fsys.ReadDir(deep)
	wantErr(t, "list a missing folder", err, fs.ErrNotExist)
	wantErr(t, "sync a missing folder", fsys.SyncDir(deep), fs.ErrNotExist)
	wantErr(t, "remove a missing file", fsys.Remove(deep), fs.ErrNotExist)
	_, err = fsys.Stat(deep)
	wantErr(t, "stat a missing file", err, fs.ErrNotExist)
}

func testRename(t *testing.T, fsys vfs.FS, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	create(t, fsys, a, []byte("new")).Close()
	create(t, fsys, b, []byte("old")).Close()
	if err := fsys.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	wantContent(t, fsys, b, []byte("new"))
	_, err := fsys.Stat(a)
	wantErr(t, "stat the old name", err, fs.ErrNotExist)
	wantErr(t, "rename a missing file", fsys.Rename(a, b), fs.ErrNotExist)
	if err := fsys.Rename(b, b); err != nil {
		t.Errorf("rename to itself: %v", err)
	}
	wantContent(t, fsys, b, []byte("new"))
	if err := fsys.MkdirAll(filepath.Join(dir, "d", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := fsys.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "e")); err != nil {
		t.Fatal(err)
	}
	if _, err := fsys.Stat(filepath.Join(dir, "e", "sub")); err != nil {
		t.Errorf("what was in a renamed folder: %v", err)
	}
	if err := fsys.Rename(b, filepath.Join(dir, "e")); err == nil {
		t.Error("renamed a file over a folder")
	}
}

func testRemovedOpenFile(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, "f")
	f := create(t, fsys, name, []byte("still here"))
	defer f.Close()
	if err := fsys.Remove(name); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	if _, err := f.ReadAt(p, 0); err != nil || string(p) != "still here" {
		t.Errorf("read after remove: %q %v", p, err)
	}
}

func testLock(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, ".lock")
	l, err := fsys.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fsys.Lock(name)
	wantErr(t, "lock again", err, vfs.ErrLocked)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = fsys.Lock(name)
	if err != nil {
		t.Fatalf("lock after unlock: %v", err)
	}
	l.Close()
	if _, err := fsys.Stat(name); err != nil {
		t.Error(err)
	}
}

func testUsage(t *testing.T, fsys vfs.FS, dir string) {
	u, err := fsys.Usage(dir)
	if err != nil {
		t.Fatal(err)
	}
	if u.Total == 0 || u.Free > u.Total {
		t.Errorf("got %+v", u)
	}
	_, err = fsys.Usage(filepath.Join(dir, "missing"))
	wantErr(t, "usage of a missing file", err, fs.ErrNotExist)
}

func testWriteFileAtomic(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, "f")
	for _, content := range []string{"first", "", "second, longer"} {
		if err := vfs.WriteFileAtomic(fsys, name, []byte(content)); err != nil {
			t.Fatal(err)
		}
		wantContent(t, fsys, name, []byte(content))
	}
	entries, err := fsys.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left beside the file: %v %v", entries, err)
	}
	_, err = vfs.ReadFile(fsys, filepath.Join(dir, "missing"))
	wantErr(t, "read a missing file", err, fs.ErrNotExist)
}

func testSetModTime(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, "f")
	create(t, fsys, name, []byte("x")).Close()
	want := time.UnixMilli(1_600_000_000_123)
	if err := fsys.SetModTime(name, want); err != nil {
		t.Fatal(err)
	}
	info, err := fsys.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.ModTime(); !got.Equal(want) {
		t.Errorf("modified at %v, want %v", got, want)
	}
	if err := fsys.SetModTime(filepath.Join(dir, "missing"), want); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("time of a missing file: got %v, want fs.ErrNotExist", err)
	}
}
