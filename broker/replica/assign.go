package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

const (
	// maxAssigned bounds the replicas of one AssignReplicasToDirs, as in Kafka.
	maxAssigned = 2250
	// assignPauseMin and Max are how long a request waits that failed.
	assignPauseMin = 100 * time.Millisecond
	assignPauseMax = 10 * time.Second
)

// assigner tells the controller in which directories the replicas of this broker lie, where the metadata does not know
// (Kafka's AssignmentsManager): it has to, to notice which are lost with a directory.
type assigner struct {
	mu      sync.Mutex // guards the fields below
	waiting map[protocol.TopicIDPartition]protocol.TopicID

	wake chan struct{} // holds a value while something waits
}

func newAssigner() assigner {
	return assigner{waiting: make(map[protocol.TopicIDPartition]protocol.TopicID), wake: make(chan struct{}, 1)}
}

func (a *assigner) add(tp protocol.TopicIDPartition, dir protocol.TopicID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting[tp] = dir
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// some returns as much of what waits as goes into one request, but nothing that need not be told any more, which is
// forgotten.
func (a *assigner) some(told func(tp protocol.TopicIDPartition, dir protocol.TopicID) bool) map[protocol.TopicIDPartition]protocol.TopicID {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[protocol.TopicIDPartition]protocol.TopicID)
	for tp, dir := range a.waiting {
		if told(tp, dir) {
			delete(a.waiting, tp)
		} else if len(out) < maxAssigned {
			out[tp] = dir
		}
	}
	return out
}

// lies notes in which log directory a replica is, to be told if the metadata do not know.
func (m *Manager) lies(p *Partition, dir string) {
	if m.controller == nil || p.damaged.Load() != nil { // in no directory, so to speak
		return
	}
	id := m.dirIDs()[dir]
	tp := protocol.TopicIDPartition{ID: p.id, Topic: p.tp.Topic, Partition: p.tp.Partition}
	if !id.IsZero() && !m.knowsDirectory(tp, id) {
		m.assigns.add(tp, id)
	}
}

// directoryIDs are the ids of the log directories by their path. They do not change.
func directoryIDs(logs Logs) map[string]protocol.TopicID {
	ids := make(map[string]protocol.TopicID)
	for _, d := range logs.Dirs() {
		ids[d.Path] = d.ID
	}
	return ids
}

// knowsDirectory says whether the metadata have this broker's replica in a directory. There is nothing to be known of
// one that is not assigned to it.
func (m *Manager) knowsDirectory(tp protocol.TopicIDPartition, dir protocol.TopicID) bool {
	img := m.image.Load()
	p := img.Partition(tp.TopicPartition())
	if p == nil || img.Topic(tp.Topic).ID != tp.ID {
		return true
	}
	return !slices.Contains(p.Replicas, m.nodeID) || p.Directory(m.nodeID) == dir
}

// tellDirectories tells the controller what it does not know, until ctx ends.
func (m *Manager) tellDirectories(ctx context.Context) {
	wait := assignPauseMin
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.assigns.wake:
		}
		for ctx.Err() == nil {
			batch := m.assigns.some(m.knowsDirectory)
			if len(batch) == 0 {
				break
			}
			if err := m.tell(ctx, batch); err != nil && ctx.Err() == nil {
				m.logger.WarnContext(ctx, "tell the controller the directories of replicas", slog.Int("replicas", len(batch)), slog.Any("err", err))
				wait = min(2*wait, assignPauseMax)
			} else {
				wait = assignPauseMin
			}
			pause(ctx, wait) // the metadata say what was heard: until then it would be told again
		}
	}
}

// tell sends one request. What it does not get through stays, to be told again.
func (m *Manager) tell(ctx context.Context, batch map[protocol.TopicIDPartition]protocol.TopicID) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := m.controller.Request(ctx, m.assignRequest(batch))
	if err != nil {
		return err
	}
	r, ok := resp.(*kmsg.AssignReplicasToDirsResponse)
	if !ok {
		return fmt.Errorf("controller answered AssignReplicasToDirs with %T", resp)
	}
	if r.ErrorCode != 0 {
		return errors.New("controller answered AssignReplicasToDirs with " + errcode.Name(r.ErrorCode))
	}
	for i := range r.Directories {
		for j := range r.Directories[i].Topics {
			for _, p := range r.Directories[i].Topics[j].Partitions {
				if p.ErrorCode != 0 {
					err = errors.New("controller answered AssignReplicasToDirs for a partition with " + errcode.Name(p.ErrorCode))
				}
			}
		}
	}
	return err
}

func (m *Manager) assignRequest(batch map[protocol.TopicIDPartition]protocol.TopicID) *kmsg.AssignReplicasToDirsRequest {
	type place struct{ dir, topic protocol.TopicID }
	places := make(map[place][]int32)
	topics := make(map[protocol.TopicID][]protocol.TopicID)
	for tp, dir := range batch {
		at := place{dir, tp.ID}
		if places[at] == nil {
			topics[dir] = append(topics[dir], tp.ID)
		}
		places[at] = append(places[at], tp.Partition)
	}
	req := kmsg.NewPtrAssignReplicasToDirsRequest()
	req.BrokerID, req.BrokerEpoch = int32(m.nodeID), int64(m.brokerEpoch())
	for dir, ids := range topics {
		d := kmsg.NewAssignReplicasToDirsRequestDirectory()
		d.ID = dir
		for _, id := range ids {
			t := kmsg.NewAssignReplicasToDirsRequestDirectoryTopic()
			t.TopicID = id
			for _, partition := range places[place{dir, id}] {
				p := kmsg.NewAssignReplicasToDirsRequestDirectoryTopicPartition()
				p.Partition = partition
				t.Partitions = append(t.Partitions, p)
			}
			d.Topics = append(d.Topics, t)
		}
		req.Directories = append(req.Directories, d)
	}
	return req
}
