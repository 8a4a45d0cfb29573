package checkpoint

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// PartitionMetadata is a partition.metadata file: it ties a partition's folder to one incarnation of its topic.
type PartitionMetadata struct {
	Version int32
	TopicID protocol.TopicID
}

// ReadPartitionMetadata reads the file in a partition's folder. As in Kafka any version from 0 on is read, for the sake of
// downgrades, and the key of each line is not looked at. A zero id is a *FormatError.
func ReadPartitionMetadata(fsys vfs.FS, dir string) (PartitionMetadata, error) {
	path := filepath.Join(dir, PartitionMetadataFile)
	b, err := vfs.ReadFile(fsys, path)
	if err != nil {
		return PartitionMetadata{}, fmt.Errorf("read partition metadata: %w", err)
	}
	r := &textReader{path: path, rest: b}
	text, err := r.value()
	if err != nil {
		return PartitionMetadata{}, err
	}
	version, err := parseInt32([]byte(text))
	if err != nil || version < 0 {
		return PartitionMetadata{}, r.errorf("unknown version %.100q", text)
	}
	if text, err = r.value(); err != nil {
		return PartitionMetadata{}, err
	}
	id, err := protocol.ParseTopicID(text)
	if err != nil {
		return PartitionMetadata{}, r.errorf("%v", err)
	}
	if id.IsZero() {
		return PartitionMetadata{}, r.errorf("topic id is zero")
	}
	return PartitionMetadata{Version: version, TopicID: id}, nil
}

// value reads a line "key: value".
func (r *textReader) value() (string, error) {
	line, ok := r.next()
	if !ok {
		return "", r.errorf("file ends too early")
	}
	key, value, found := strings.Cut(string(line), ":")
	trimmed := strings.TrimLeft(value, whitespace)
	if !found || key == "" || trimmed == "" || trimmed == value {
		return "", r.errorf("malformed line %.100q: want \"key: value\"", line)
	}
	return trimmed, nil
}

// WritePartitionMetadata replaces the file in a partition's folder.
func WritePartitionMetadata(fsys vfs.FS, dir string, m PartitionMetadata) error {
	return vfs.WriteFileAtomic(fsys, filepath.Join(dir, PartitionMetadataFile), m.encode())
}

// CreatePartitionMetadata writes the file into a folder that is new and holds no records. Nothing is durable: the caller syncs
// the file and the folder before the first record is written. Until then a crash may leave the file empty or torn, which
// does no harm.
func CreatePartitionMetadata(fsys vfs.FS, dir string, m PartitionMetadata) (err error) {
	f, err := fsys.OpenFile(filepath.Join(dir, PartitionMetadataFile), vfs.ReadWrite|vfs.Create|vfs.Trunc, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteAt(m.encode(), 0)
	return err
}

func (m PartitionMetadata) encode() []byte {
	return fmt.Appendf(nil, "version: %d\ntopic_id: %s", m.Version, m.TopicID)
}
