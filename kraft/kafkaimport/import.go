package kafkaimport

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// ErrNone says that the folder holds no metadata.
var ErrNone = errors.New("no Kafka metadata found")

// Options says for whom to read.
type Options struct {
	// NodeID is this node, the only one of the new cluster: its replicas become the only ones of their partitions.
	NodeID protocol.NodeID
	// MetadataVersion is the range of levels the new cluster supports; Kafka's level is fitted into it.
	MetadataVersion image.FeatureRange
}

// Result is what was found.
type Result struct {
	// Records begin a new cluster: everything that is taken over, with the epochs as Kafka had them.
	Records []metadata.Record

	Topics, Partitions int
	// Foreign are partitions without a replica on this node: known, but nobody has their data. They have no leader.
	Foreign []protocol.TopicPartition
	// Reduced counts partitions whose replicas on other nodes were dropped.
	Reduced int
	// Features are Kafka's finalized levels.
	Features map[string]int16
	// Skipped counts records, by what they are, that are not taken over and that somebody may miss.
	Skipped map[string]int
	// Checkpoint is the snapshot that was read; empty: none. NextOffset is where the metadata ends.
	Checkpoint string
	NextOffset int64
	// Torn says where and why reading the log stopped before its end; empty: it did not.
	Torn string
	// Damaged names snapshots that could not be read; an older one or the log took their place.
	Damaged []string
}

// Read reads the folder __cluster_metadata-0 of a stopped Kafka node.
func Read(dir fs.FS, o Options) (*Result, error) {
	files, err := list(dir)
	if err != nil {
		return nil, fmt.Errorf("read Kafka's metadata: %w", err)
	}
	if len(files.checkpoints) == 0 && len(files.segments) == 0 {
		return nil, ErrNone
	}
	res := &Result{}
	s, err := readCheckpoint(dir, files, res)
	if err != nil {
		return nil, fmt.Errorf("read Kafka's metadata: %w", err)
	}
	if err := s.readLog(dir, files.segments, res); err != nil {
		return nil, fmt.Errorf("read Kafka's metadata: %w", err)
	}
	if err := s.finish(o, res); err != nil {
		return nil, fmt.Errorf("read Kafka's metadata: %w", err)
	}
	return res, nil
}

// topic is a topic as Kafka's records describe it.
type topic struct {
	name       string
	id         protocol.TopicID
	partitions map[int32]*metadata.PartitionState
}

// state is Kafka's metadata so far.
type state struct {
	topics   map[protocol.TopicID]*topic
	names    map[string]protocol.TopicID
	configs  map[image.Resource]map[string]string
	features map[string]int16
	skipped  map[string]int
	nextPID  int64
	next     int64 // offset of the next record

	open    bool // within a metadata transaction
	pending []record
}

func newState() *state {
	return &state{
		topics: make(map[protocol.TopicID]*topic), names: make(map[string]protocol.TopicID), configs: make(map[image.Resource]map[string]string),
		features: make(map[string]int16), skipped: make(map[string]int),
	}
}

// add takes the next record, or holds it until its transaction ends.
func (s *state) add(r record) error {
	switch r := r.(type) {
	case beginTransaction:
		if s.open {
			return errors.New("a metadata transaction begins within another")
		}
		s.open = true
		return nil
	case abortTransaction:
		if !s.open {
			return errors.New("a metadata transaction is aborted that never began")
		}
		s.open, s.pending = false, nil
		return nil
	case endTransaction:
		if !s.open {
			return errors.New("a metadata transaction ends that never began")
		}
		for _, p := range s.pending {
			if err := p.apply(s); err != nil {
				return err
			}
		}
		s.open, s.pending = false, nil
		return nil
	default:
		if s.open {
			s.pending = append(s.pending, r)
			return nil
		}
		return r.apply(s)
	}
}

// finish turns the state into records.
func (s *state) finish(o Options, res *Result) error {
	res.NextOffset, res.Skipped, res.Features = s.next, s.skipped, s.features
	level := min(max(s.features["metadata.version"], o.MetadataVersion.Min), o.MetadataVersion.Max)
	if level > 0 {
		res.Records = append(res.Records, &metadata.FeatureLevelRecord{Name: "metadata.version", Level: level})
	}
	if s.nextPID > 0 {
		res.Records = append(res.Records, &metadata.ProducerIDsRecord{BrokerID: -1, BrokerEpoch: -1, NextProducerID: s.nextPID})
	}
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		if err := s.finishTopic(s.topics[s.names[name]], o, res); err != nil {
			return err
		}
	}
	resources := slices.SortedFunc(maps.Keys(s.configs), func(a, b image.Resource) int {
		if a.Type != b.Type {
			return int(a.Type) - int(b.Type)
		}
		return compare(a.Name, b.Name)
	})
	for _, r := range resources {
		if s.keeps(r, o) {
			res.Records = append(res.Records, configRecords(r, s.configs[r])...)
		}
	}
	return nil
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

func (s *state) finishTopic(t *topic, o Options, res *Result) error {
	if len(t.partitions) == 0 { // Kafka writes a topic with its partitions
		s.skipped["topic without partitions"]++
		delete(s.names, t.name)
		return nil
	}
	res.Topics++
	res.Records = append(res.Records, &metadata.TopicRecord{Name: t.name, ID: t.id})
	for i := range int32(len(t.partitions)) {
		p, ok := t.partitions[i]
		if !ok {
			return fmt.Errorf("topic %s has %d partitions, but none with index %d", t.name, len(t.partitions), i)
		}
		res.Partitions++
		reduced, mine := reduce(*p, o.NodeID)
		switch {
		case !mine:
			res.Foreign = append(res.Foreign, protocol.TopicPartition{Topic: t.name, Partition: i})
		case len(p.Replicas) > 1:
			res.Reduced++
		}
		res.Records = append(res.Records, &metadata.PartitionRecord{TopicID: t.id, Partition: i, PartitionState: reduced})
	}
	return nil
}

// reduce leaves a partition with the replica of one node, since the other nodes do not come along; mine is false when that
// node has none.
func reduce(p metadata.PartitionState, id protocol.NodeID) (reduced metadata.PartitionState, mine bool) {
	p.UncleanEpoch = 0 // Kafka's checkpoints do not tell it, and there is no other replica that it concerns
	at := slices.Index(p.Replicas, id)
	if at < 0 {
		p.Leader = image.NoLeader
		return p, false
	}
	if len(p.Replicas) == 1 && len(p.ISR) == 1 && len(p.Adding)+len(p.Removing) == 0 {
		return p, true
	}
	var dirs []protocol.TopicID
	if at < len(p.Directories) {
		dirs = p.Directories[at : at+1]
	}
	if p.Leader != id {
		p.Leader = image.NoLeader
	}
	return metadata.PartitionState{
		Replicas: []protocol.NodeID{id}, ISR: []protocol.NodeID{id}, Directories: dirs, Leader: p.Leader,
		LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch + 1, LeaderRecoveryState: p.LeaderRecoveryState,
	}, true
}

// keeps reports whether the configs of a resource are taken over.
func (s *state) keeps(r image.Resource, o Options) bool {
	switch r.Type {
	case image.ResourceTopic:
		_, ok := s.names[r.Name]
		return ok
	case image.ResourceBroker:
		return r.Name == "" || r.Name == fmt.Sprint(o.NodeID)
	case image.ResourceGroup, image.ResourceClientMetrics:
		return true
	default:
		return false
	}
}

func configRecords(r image.Resource, configs map[string]string) []metadata.Record {
	records := make([]metadata.Record, 0, len(configs))
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		value := configs[name]
		records = append(records, &metadata.ConfigRecord{ResourceType: r.Type, ResourceName: r.Name, Name: name, Value: &value})
	}
	return records
}
