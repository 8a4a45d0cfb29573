package replica_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// told collects what the controller is told of directories.
type told struct {
	mu    sync.Mutex // guards the fields below
	fails int        // so many requests fail first
	calls int
	dirs  map[int32]protocol.TopicID // of the partitions of topic 1
}

func (d *told) handle(req kmsg.Request) (kmsg.Response, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := req.(*kmsg.AssignReplicasToDirsRequest)
	if d.calls++; d.calls <= d.fails {
		return nil, errors.New("lost")
	}
	if d.dirs == nil {
		d.dirs = make(map[int32]protocol.TopicID)
	}
	for _, dir := range q.Directories {
		for _, t := range dir.Topics {
			for _, p := range t.Partitions {
				if t.TopicID == topicID(1) {
					d.dirs[p.Partition] = dir.ID
				}
			}
		}
	}
	return q.ResponseKind(), nil
}

func (d *told) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.dirs)
}

func TestDirectories_AreToldWhereTheMetadataDoNotKnow(t *testing.T) {
	c, d := newController(), &told{fails: 1}
	c.other = d.handle
	w := newWorldWith(t, replica.Options{Controller: c})
	w.create("first", topicID(9), 1) // the first image says what is there
	recs := []metadata.Record{&metadata.TopicRecord{Name: topic, ID: topicID(1)}}
	for i, dir := range []protocol.TopicID{{}, dirID, {1: 8}} { // not known, right and wrong
		recs = append(recs, &metadata.PartitionRecord{TopicID: topicID(1), Partition: int32(i), PartitionState: image.Partition{
			Replicas: nodes(2, self), ISR: nodes(2), Leader: 2, Directories: []protocol.TopicID{{}, dir},
		}})
	}
	w.publish(recs...)
	eventually(t, "the controller knows", func() bool { return d.count() == 2 })
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, partition := range []int32{0, 2} {
		if d.dirs[partition] != dirID {
			t.Errorf("partition %d: told %v, want %v", partition, d.dirs[partition], dirID)
		}
	}
}
