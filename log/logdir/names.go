package logdir

import (
	"encoding/hex"
	"io"
	"strconv"
	"strings"

	"github.com/distributedmq/dmq/protocol"
)

// Suffixes of folders that are not partitions.
const (
	deleteSuffix = "-delete"
	straySuffix  = "-stray"
	futureSuffix = "-future"
)

// maxFileName is what filesystems allow.
const maxFileName = 255

// uniqueDigits is the length of the unique part of a folder that was renamed: a UUID without its dashes.
const uniqueDigits = 32

// folderKind is what a folder's name says it is.
type folderKind uint8

const (
	folderUnknown   folderKind = iota
	folderPartition            // in use
	folderDeleted              // to be removed
	folderStray                // set aside
	folderFuture               // Kafka's unfinished copy from another directory
	folderMetadata             // a metadata log
)

// classify tells what a folder is, and of a partition's folder which one.
func classify(name string) (folderKind, protocol.TopicPartition) {
	switch name {
	case "__cluster_metadata-0", "__dmq_metadata-0":
		return folderMetadata, protocol.TopicPartition{}
	}
	for suffix, kind := range map[string]folderKind{deleteSuffix: folderDeleted, straySuffix: folderStray, futureSuffix: folderFuture} {
		if base, ok := cutUnique(name, suffix); ok {
			if tp, ok := parsePartition(base); ok {
				return kind, tp
			}
		}
	}
	if tp, ok := parsePartition(name); ok {
		return folderPartition, tp
	}
	return folderUnknown, protocol.TopicPartition{}
}

// cutUnique cuts ".<32 hex digits><suffix>" off.
func cutUnique(name, suffix string) (base string, ok bool) {
	rest, ok := strings.CutSuffix(name, suffix)
	if !ok || len(rest) <= uniqueDigits+1 {
		return "", false
	}
	at := len(rest) - uniqueDigits
	if _, err := hex.DecodeString(rest[at:]); err != nil || rest[at-1] != '.' {
		return "", false
	}
	return rest[:at-1], true
}

// parsePartition reads <topic>-<partition>. Only the form that we write is one: no sign, no leading zeros.
func parsePartition(name string) (protocol.TopicPartition, bool) {
	at := strings.LastIndexByte(name, '-')
	if at < 0 {
		return protocol.TopicPartition{}, false
	}
	index, err := strconv.ParseInt(name[at+1:], 10, 32)
	if err != nil || index < 0 || strconv.FormatInt(index, 10) != name[at+1:] {
		return protocol.TopicPartition{}, false
	}
	tp := protocol.TopicPartition{Topic: name[:at], Partition: int32(index)}
	return tp, protocol.ValidateTopicName(tp.Topic) == nil
}

// asideName makes the name of a folder that is deleted or set aside. As in Kafka the topic is cut where the name would
// become too long.
func asideName(random io.Reader, tp protocol.TopicPartition, suffix string) (string, error) {
	var unique [uniqueDigits / 2]byte
	if _, err := io.ReadFull(random, unique[:]); err != nil {
		return "", err
	}
	full := "-" + strconv.Itoa(int(tp.Partition)) + "." + hex.EncodeToString(unique[:]) + suffix
	return tp.Topic[:min(len(tp.Topic), maxFileName-len(full))] + full, nil
}
