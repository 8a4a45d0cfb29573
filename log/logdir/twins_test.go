package logdir_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// A partition that got a folder in another directory while its own could not be read is in both when that is back: the folder that
// the metadata name stays, the other is set aside and kept. Where they name none, nothing is changed.
func TestOpen_TheMetadataNameOneOfTwoFolders(t *testing.T) {
	two := func(o *logdir.Options) { o.Dirs = []string{"/a", "/b"} }
	for _, name := range []string{"/a", "/b", "neither", "another"} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			ids := make(map[string]protocol.TopicID)
			for _, d := range []string{"/a", "/b"} {
				m := open(t, mem, func(o *logdir.Options) { o.Dirs = []string{d} })
				ids[d] = m.Dirs()[0].ID
				l, err := m.Create(tp("t", 0), topicID(1))
				must(t, err)
				appendTo(t, l, "in "+d)
				must(t, m.Close(d == "/a", 1))
			}
			ids["another"] = topicID(9)
			known := func(o *logdir.Options) {
				two(o)
				o.DirectoryOf = func(protocol.TopicPartition) protocol.TopicID { return ids[name] }
			}
			if name == "neither" || name == "another" {
				if _, err := logdir.Open(t.Context(), options(mem, known)); err == nil || !strings.Contains(err.Error(), "in both /a and /b") {
					t.Fatalf("opened: %v", err)
				}
				if _, found, err := checkpoint.ReadCleanShutdown(mem, "/a"); !found || err != nil {
					t.Errorf("the clean mark is gone: %v", err)
				}
				return
			}
			m := open(t, mem, known)
			if got := values(t, get(t, m, tp("t", 0))); !slices.Equal(got, []string{"in " + name}) {
				t.Errorf("read %q", got)
			}
			for _, d := range m.Dirs() {
				if d.Unrecovered != 0 {
					t.Errorf("%+v", d)
				}
			}
			must(t, m.Close(true, 1))
			mem = crash(mem)
			other := map[string]string{"/a": "/b", "/b": "/a"}[name]
			if exists(t, mem, other+"/t-0") || len(strays(t, mem, other)) != 1 || len(strays(t, mem, name)) != 0 {
				t.Errorf("set aside: %q and %q", strays(t, mem, "/a"), strays(t, mem, "/b"))
			}
			m = open(t, mem, two)
			defer m.Close(true, 1)
			if got := values(t, get(t, m, tp("t", 0))); !slices.Equal(got, []string{"in " + name}) {
				t.Errorf("read %q at the next start", got)
			}
		})
	}
}

// strays are the folders in a directory that were set aside.
func strays(t *testing.T, fsys vfs.FS, dir string) (names []string) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "-stray") {
			names = append(names, e.Name())
		}
	}
	return names
}
