package broker

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// bootstrapRecords is what a new cluster begins with: the feature levels and whatever the log directories hold from before.
// It runs once in the life of a cluster, so a directory is adopted at most once.
func (n *node) bootstrapRecords(ctx context.Context) ([]metadata.Record, error) {
	records, err := n.importKafka(ctx) // with Kafka's own feature level
	if err != nil {
		return nil, err
	}
	if records == nil {
		found, err := findPartitions(n.cfg.FS, n.props.LogDirs)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			n.logger.WarnContext(ctx, "adopted topics from their folders: retention and cleaning are off for them until set (dmq topic config set)",
				slog.String("event", "adopt.folders"), slog.Int("partitions", len(found)))
		}
		records = append(firstFeatures(n.props), adoptFolders(found, n.props)...)
	}
	for _, r := range records {
		if t, ok := r.(*metadata.TopicRecord); ok {
			n.logger.InfoContext(ctx, "adopted topic", slog.String("event", "adopt.topic"), slog.String("topic", t.Name), slog.String("topic_id", t.ID.String()))
		}
	}
	return records, nil
}

// partitionFolder is a partition that a log directory holds.
type partitionFolder struct {
	protocol.TopicPartition
	id          protocol.TopicID
	leaderEpoch int32 // the newest its log has seen; -1: none
}

// findPartitions lists the partitions in the log directories that say to which topic id they belong. Folders that say
// nothing, or something unreadable, are left for the log directories to report.
func findPartitions(fsys vfs.FS, dirs []string) ([]partitionFolder, error) {
	var found []partitionFolder
	for _, dir := range dirs {
		entries, err := fsys.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			tp, ok := parseFolder(e.Name())
			if !ok || !e.IsDir() {
				continue
			}
			path := filepath.Join(dir, e.Name())
			meta, err := checkpoint.ReadPartitionMetadata(fsys, path)
			if err != nil {
				continue
			}
			found = append(found, partitionFolder{TopicPartition: tp, id: meta.TopicID, leaderEpoch: latestEpoch(fsys, path)})
		}
	}
	slices.SortFunc(found, func(a, b partitionFolder) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return found, nil
}

// parseFolder reads topic-partition.
func parseFolder(name string) (protocol.TopicPartition, bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 1 || name == metadataDir || name == kafkaMetadataDir {
		return protocol.TopicPartition{}, false
	}
	partition, err := strconv.ParseInt(name[i+1:], 10, 32)
	if err != nil || partition < 0 || protocol.ValidateTopicName(name[:i]) != nil {
		return protocol.TopicPartition{}, false
	}
	return protocol.TopicPartition{Topic: name[:i], Partition: int32(partition)}, true
}

func latestEpoch(fsys vfs.FS, partitionDir string) int32 {
	entries, err := checkpoint.ReadEpochs(fsys, filepath.Join(partitionDir, "leader-epoch-checkpoint"))
	if err != nil || len(entries) == 0 {
		return -1
	}
	return entries[len(entries)-1].LeaderEpoch
}

// adoptFolders makes topics of partition folders that have no metadata: their ids and leader epochs go on, and nothing is
// ever deleted from them until somebody says so. The topic of groups and offsets is kept as always, else it would grow
// without end.
func adoptFolders(found []partitionFolder, props *config.Config) []metadata.Record {
	var records []metadata.Record
	for len(found) > 0 {
		n := 1
		for n < len(found) && found[n].Topic == found[0].Topic {
			n++
		}
		records = append(records, adoptTopic(found[:n], props)...)
		found = found[n:]
	}
	return records
}

// adoptTopic adopts the folders of one topic. Where they disagree about its id (leftovers of an earlier topic of that name),
// the id of most of them wins; the others' folders are set aside by the replica manager.
func adoptTopic(folders []partitionFolder, props *config.Config) []metadata.Record {
	self := props.NodeID
	votes := make(map[protocol.TopicID]int)
	for _, f := range folders {
		votes[f.id]++
	}
	id := folders[0].id
	for _, f := range folders {
		if votes[f.id] > votes[id] {
			id = f.id
		}
	}
	name := folders[0].Topic
	records := []metadata.Record{&metadata.TopicRecord{Name: name, ID: id}}
	epochs := make(map[int32]int32)
	last := int32(-1)
	for _, f := range folders {
		if f.id == id {
			epochs[f.Partition], last = f.leaderEpoch, f.Partition
		}
	}
	for p := range last + 1 { // partitions that are missing between others come up empty
		epoch, ok := epochs[p]
		if !ok {
			epoch = -1
		}
		records = append(records, &metadata.PartitionRecord{TopicID: id, Partition: p, PartitionState: metadata.PartitionState{
			Replicas: []protocol.NodeID{self}, ISR: []protocol.NodeID{self}, Leader: image.NoLeader, LeaderEpoch: max(epoch, 0),
		}})
	}
	configs := [][2]string{{"cleanup.policy", ""}, {"retention.bytes", "-1"}, {"retention.ms", "-1"}}
	if name == group.Topic {
		configs = props.Offsets.TopicConfigs()
	}
	for _, c := range configs {
		records = append(records, &metadata.ConfigRecord{ResourceType: image.ResourceTopic, ResourceName: name, Name: c[0], Value: &c[1]})
	}
	return records
}
