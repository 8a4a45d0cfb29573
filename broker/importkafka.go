package broker

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/kafkaimport"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/log/vfs"
)

// importKafka reads the metadata log that Apache Kafka left in the metadata directory or one of the log directories; nil
// when there is none. It says what is not taken over.
func (n *node) importKafka(ctx context.Context) ([]metadata.Record, error) {
	for _, dir := range append([]string{n.props.MetadataLogDir}, n.props.LogDirs...) {
		path := filepath.Join(dir, kafkaMetadataDir)
		res, err := kafkaimport.Read(folder{n.cfg.FS, path}, kafkaimport.Options{
			NodeID:          n.props.NodeID,
			MetadataVersion: image.FeatureRange{Min: minMetadataVersion, Max: maxMetadataVersion},
		})
		if errors.Is(err, kafkaimport.ErrNone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		n.reportImport(ctx, path, res)
		for _, name := range []string{eligibleLeaderReplicas, groupVersion} {
			if level := min(res.Features[name], features()[name].Max); level > 0 {
				res.Records = append(res.Records, &metadata.FeatureLevelRecord{Name: name, Level: level})
			}
		}
		return res.Records, nil
	}
	return nil, nil
}

func (n *node) reportImport(ctx context.Context, path string, res *kafkaimport.Result) {
	n.logger.InfoContext(ctx, "adopted the metadata of Apache Kafka; its files are kept", slog.String("event", "adopt.kafka"), slog.String("dir", path),
		slog.String("checkpoint", res.Checkpoint), slog.Int("topics", res.Topics), slog.Int("partitions", res.Partitions), slog.Int64("next_offset", res.NextOffset))
	logger := n.logger.With(slog.String("event", "adopt.left"))
	for what, count := range res.Skipped {
		logger.WarnContext(ctx, "not taken over from Apache Kafka: not served yet", slog.String("what", what), slog.Int("count", count))
	}
	if res.Reduced > 0 {
		logger.WarnContext(ctx, "replicas on other nodes were dropped: this is a cluster of one node", slog.Int("partitions", res.Reduced))
	}
	for _, tp := range res.Foreign {
		logger.WarnContext(ctx, "partition has no replica on this node and stays without leader", slog.String("topic", tp.Topic), slog.Int("partition", int(tp.Partition)))
	}
	for _, name := range res.Damaged {
		logger.WarnContext(ctx, "a snapshot of the metadata could not be read; an older one or the log took its place", slog.String("file", name))
	}
	if res.Torn != "" {
		logger.WarnContext(ctx, "reading the metadata log ended early", slog.String("why", res.Torn))
	}
}

// folder is a folder of the filesystem seam as an fs.FS of flat files.
type folder struct {
	fsys vfs.FS
	dir  string
}

func (f folder) ReadDir(name string) ([]fs.DirEntry, error) {
	return f.fsys.ReadDir(filepath.Join(f.dir, name))
}

func (f folder) ReadFile(name string) ([]byte, error) {
	return vfs.ReadFile(f.fsys, filepath.Join(f.dir, name))
}

// Open is what fs.FS demands; files are read whole, through ReadFile.
func (f folder) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: errors.ErrUnsupported}
}
