package coordtest

import (
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// Self is the id of a Broker.
const Self protocol.NodeID = 1

// Broker is a real replica manager over log directories on some filesystem, and the metadata that it is told. Its methods
// are for the test's goroutine, but for Image.
type Broker struct {
	*replica.Manager

	t          testing.TB
	logs       *logdir.Manager
	image      atomic.Pointer[image.Image]
	publishers []image.Publisher
}

// OpenBroker opens what an earlier broker, of which img is the metadata, has left on fsys. It is closed uncleanly at the end
// of the test, unless it was before.
func OpenBroker(t testing.TB, fsys vfs.FS, img *image.Image) *Broker {
	t.Helper()
	b := &Broker{t: t}
	b.image.Store(img)
	var manager atomic.Pointer[replica.Manager] // logs report while they are opened
	logs, err := logdir.Open(t.Context(), logdir.Options{
		FS: fsys, Dirs: []string{"/data"}, NodeID: Self, ClusterID: "AAAAAAAAAAAAAAAAAAAAAQ", Logger: slog.New(slog.DiscardHandler),
		Synced: func(tp protocol.TopicPartition, end int64) {
			if m := manager.Load(); m != nil {
				m.Synced(tp, end)
			}
		},
		Failed: func(dir string, err error) {
			if m := manager.Load(); m != nil {
				m.DirFailed(dir, err)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.logs = logs
	b.Manager = replica.New(replica.Options{NodeID: Self, Logs: logs, Logger: slog.New(slog.DiscardHandler)})
	manager.Store(b.Manager)
	b.Subscribe(b.Manager)
	t.Cleanup(b.Shut)
	return b
}

// Shut ends the broker without marking its logs as closed cleanly. Whoever uses it is closed before.
func (b *Broker) Shut() {
	if b.logs == nil {
		return
	}
	if err := b.Close(); err != nil {
		b.t.Error(err)
	}
	_ = b.logs.Close(false, 0) // a power cut or a broken disk is what many tests are about
	b.logs = nil
}

// Image is the metadata as it is now.
func (b *Broker) Image() *image.Image { return b.image.Load() }

// Subscribe tells a publisher of the metadata, from now on too.
func (b *Broker) Subscribe(p image.Publisher) {
	p.Publish(image.Diff(image.Empty(), b.Image()))
	b.publishers = append(b.publishers, p)
}

// Commit changes the metadata.
func (b *Broker) Commit(records ...metadata.Record) {
	b.t.Helper()
	builder := image.NewBuilder(b.Image())
	if err := builder.Apply(b.Image().Version+1, &metadata.Command{Records: records}); err != nil {
		b.t.Fatal(err)
	}
	next, d := builder.Build()
	b.image.Store(next)
	for _, p := range b.publishers {
		p.Publish(d)
	}
}

// CreateTopic creates a topic whose partitions this broker leads alone. Its id is made of its name.
func (b *Broker) CreateTopic(name string, partitions int) protocol.TopicID {
	b.t.Helper()
	var id protocol.TopicID
	copy(id[:], name)
	records := []metadata.Record{&metadata.TopicRecord{Name: name, ID: id}}
	for i := range partitions {
		records = append(records, &metadata.PartitionRecord{TopicID: id, Partition: int32(i), PartitionState: image.Partition{
			Replicas: []protocol.NodeID{Self}, ISR: []protocol.NodeID{Self}, Leader: Self,
		}})
	}
	b.Commit(records...)
	return id
}
