package producerstate_test

import (
	"testing"

	"github.com/distributedmq/dmq/log/vfs"
)

func BenchmarkUpdate(b *testing.B) {
	m := open(b, vfs.NewMem(), nil)
	bt := batch(1, 0, 0, 1, 0)
	b.ReportAllocs()
	for b.Loop() {
		u := m.Begin()
		if _, found := u.FindDuplicate(bt); found {
			b.Fatal("a new batch is a duplicate")
		}
		if err := u.Append(bt, client); err != nil {
			b.Fatal(err)
		}
		u.Commit(bt.LastOffset + 1)
		bt.BaseOffset, bt.LastOffset = bt.BaseOffset+1, bt.LastOffset+1
		bt.BaseSequence, bt.LastSequence = (bt.BaseSequence+1)&0x7fffffff, (bt.LastSequence+1)&0x7fffffff
	}
}

func TestUpdate_AllocatesNothing(t *testing.T) {
	m := newManager(t)
	bt := batch(1, 0, 0, 1, 0)
	next := func() {
		u := m.Begin()
		u.FindDuplicate(bt)
		if err := u.Append(bt, client); err != nil {
			t.Fatal(err)
		}
		u.Commit(bt.LastOffset + 1)
		bt.BaseOffset, bt.LastOffset = bt.BaseOffset+1, bt.LastOffset+1
		bt.BaseSequence, bt.LastSequence = bt.BaseSequence+1, bt.LastSequence+1
	}
	next()
	next()
	if got := testing.AllocsPerRun(100, next); got != 0 {
		t.Errorf("%v allocations for each append of a known producer, want none", got)
	}
}
