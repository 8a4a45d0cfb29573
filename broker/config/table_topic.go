package config

import "slices"

// Names used outside their row.
const (
	throttledLeaders   = "leader.replication.throttled.replicas"
	throttledFollowers = "follower.replication.throttled.replicas"

	minSegmentBytes = 1 << 20
	maxArrayBytes   = 2147483639 // the largest array a JVM allocates; Kafka's bound for decompressed batches
)

// topicRows is every topic property. A topic's unset property falls back to the broker property of topicSynonyms.
func topicRows() []row {
	return []row{
		{"cleanup.policy", tList, "delete", Medium, ClusterWide, distinct(listRule{empty: true, of: []string{"compact", "delete"}}), on, "What happens to old segments: delete drops them by age and size, compact keeps the newest record of each key, both do both, empty keeps everything for ever."},
		{"compression.gzip.level", tInt, "-1", Medium, ClusterWide, gzipLevel(), on, "The gzip level used when the topic's compression.type is gzip and a batch has to be compressed again; -1 is the codec's own default."},
		{"compression.lz4.level", tInt, "9", Medium, ClusterWide, between(1, 17), on, "The lz4 level used when the topic's compression.type is lz4 and a batch has to be compressed again."},
		{"compression.type", tString, "producer", Medium, ClusterWide, oneOf(compressionTypes()...), on, "The codec batches are stored with. producer keeps each batch as it was sent; any other value re-encodes batches that differ."},
		{"compression.zstd.level", tInt, "3", Medium, ClusterWide, between(-131072, 22), on, "The zstd level used when the topic's compression.type is zstd and a batch has to be compressed again."},
		{"delete.retention.ms", tLong, "86400000", Medium, ClusterWide, atLeast(0), on, "How long a compacted topic keeps tombstones and transaction markers, so that a reader who starts from offset 0 still sees each deletion."},
		{"errors.deadletterqueue.group.enable", tBool, "false", Medium, ClusterWide, anything(), off, "Whether share groups may write their undeliverable records to this topic."},
		{"file.delete.delay.ms", tLong, "60000", Medium, ClusterWide, atLeast(0), on, "How long a deleted segment file stays on disk, renamed, before it is removed."},
		{"flush.messages", tLong, "1", Medium, ClusterWide, atLeast(1), on, "How many records may be written before the log is synced to disk. 1, the default here, syncs every batch (many at once) before acks=1 and acks=all are answered and before consumers see it; 9223372036854775807 is Kafka's default and leaves syncing to the operating system."},
		{"flush.ms", tLong, maxLong, Medium, ClusterWide, atLeast(0), on, "How long a record may wait before the log is synced to disk when flush.messages is not 1."},
		{throttledFollowers, tList, "", Medium, ClusterWide, throttledReplicas(), on, "The replicas whose follower side is throttled: partition:broker pairs, or * for all."},
		{"index.interval.bytes", tInt, "4096", Medium, ClusterWide, atLeast(0), on, "About how many bytes of log lie between two entries of the offset index. Smaller finds offsets faster and makes the index larger."},
		{"internal.segment.bytes", tInt, null, Medium, ClusterWide, anything(), testing, "A segment size without the lower bound of segment.bytes, for tests."},
		{throttledLeaders, tList, "", Medium, ClusterWide, throttledReplicas(), on, "The replicas whose leader side is throttled: partition:broker pairs, or * for all."},
		{"local.retention.bytes", tLong, "-2", Medium, ClusterWide, atLeast(-2), off, "How many bytes of a tiered partition stay on local disk; -2 means as retention.bytes."},
		{"local.retention.ms", tLong, "-2", Medium, ClusterWide, atLeast(-2), off, "How long segments of a tiered partition stay on local disk; -2 means as retention.ms."},
		{"max.compaction.lag.ms", tLong, maxLong, Medium, ClusterWide, atLeast(1), on, "The longest a record of a compacted topic may stay uncompacted."},
		{"max.decompressed.message.bytes", tInt, "2147483639", Medium, ClusterWide, between(1, maxArrayBytes), off, "The largest size a batch may have after decompression. A fixed bound of our own protects the broker until this has an effect."},
		{"max.message.bytes", tInt, "1048588", Medium, ClusterWide, atLeast(0), on, "The largest record batch the topic accepts, after compression."},
		{"message.timestamp.after.max.ms", tLong, "3600000", Medium, ClusterWide, atLeast(0), on, "How far a record's timestamp may lie in the future; beyond it the record is refused with INVALID_TIMESTAMP. Unused with LogAppendTime."},
		{"message.timestamp.before.max.ms", tLong, maxLong, Medium, ClusterWide, atLeast(0), on, "How far a record's timestamp may lie in the past; beyond it the record is refused with INVALID_TIMESTAMP. Unused with LogAppendTime."},
		{"message.timestamp.type", tString, "CreateTime", Medium, ClusterWide, oneOf("CreateTime", "LogAppendTime"), on, "Whether records keep the producer's timestamp or get the broker's clock when they are appended."},
		{"min.cleanable.dirty.ratio", tDouble, "0.5", Medium, ClusterWide, ratio(0, 1), on, "The share of uncompacted bytes from which a compacted log is cleaned."},
		{"min.compaction.lag.ms", tLong, "0", Medium, ClusterWide, atLeast(0), on, "The shortest a record of a compacted topic stays uncompacted."},
		{"min.insync.replicas", tInt, "1", Medium, ClusterWide, atLeast(1), on, "How many replicas must be in sync for acks=all to succeed; with fewer, the produce request gets NOT_ENOUGH_REPLICAS."},
		{"preallocate", tBool, "false", Medium, ClusterWide, anything(), off, "Whether a new segment file is given its full size at once. Sizes here always grow with the data."},
		{"remote.copy.lag.bytes", tLong, "-1", Medium, ClusterWide, atLeast(-1), off, "How many bytes may wait before they are copied to remote storage."},
		{"remote.copy.lag.ms", tLong, "0", Medium, ClusterWide, atLeast(-1), off, "How long a closed segment may wait before it is copied to remote storage."},
		{"remote.log.copy.disable", tBool, "false", Medium, ClusterWide, anything(), off, "Whether a tiered topic stops copying to remote storage and becomes read-only there."},
		{"remote.log.delete.on.disable", tBool, "false", Medium, ClusterWide, anything(), off, "Whether switching tiered storage off deletes the remote data."},
		{"remote.storage.enable", tBool, "false", Medium, ClusterWide, anything(), off, "Whether the topic's closed segments are kept in remote storage."},
		{"retention.bytes", tLong, "-1", Medium, ClusterWide, anything(), on, "How large a partition may grow before its oldest segments are deleted; -1 is without limit."},
		{"retention.ms", tLong, "604800000", Medium, ClusterWide, atLeast(-1), on, "How old a segment may become before it is deleted; -1 is without limit."},
		{"segment.bytes", tInt, "1073741824", Medium, ClusterWide, atLeast(minSegmentBytes), on, "The size at which a segment is closed and a new one begun. Retention works in whole segments."},
		{"segment.index.bytes", tInt, "10485760", Medium, ClusterWide, atLeast(4), on, "The largest size of a segment's offset index; a full index closes the segment."},
		{"segment.jitter.ms", tLong, "0", Medium, ClusterWide, atLeast(0), on, "A random time, up to this, that is taken off segment.ms so that partitions do not all roll at once."},
		{"segment.ms", tLong, "604800000", Medium, ClusterWide, atLeast(1), on, "The age at which a segment is closed although it is not full, so that retention can reach it."},
		{"unclean.leader.election.enable", tBool, "false", Medium, ClusterWide, anything(), on, "Whether a replica that was not in sync may become leader when no other is left, losing what it had not copied."},
	}
}

func compressionTypes() []string {
	return []string{"uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"}
}

// topicSynonyms maps a topic property to the broker property that holds its default, where there is one.
func topicSynonyms() map[string]string {
	return map[string]string{
		"cleanup.policy":                  "log.cleanup.policy",
		"compression.gzip.level":          "compression.gzip.level",
		"compression.lz4.level":           "compression.lz4.level",
		"compression.type":                "compression.type",
		"compression.zstd.level":          "compression.zstd.level",
		"delete.retention.ms":             "log.cleaner.delete.retention.ms",
		"file.delete.delay.ms":            "log.segment.delete.delay.ms",
		"flush.messages":                  "log.flush.interval.messages",
		"flush.ms":                        "log.flush.interval.ms",
		"index.interval.bytes":            "log.index.interval.bytes",
		"local.retention.bytes":           "log.local.retention.bytes",
		"local.retention.ms":              "log.local.retention.ms",
		"max.compaction.lag.ms":           "log.cleaner.max.compaction.lag.ms",
		"max.decompressed.message.bytes":  "max.decompressed.message.bytes",
		"max.message.bytes":               "message.max.bytes",
		"message.timestamp.after.max.ms":  "log.message.timestamp.after.max.ms",
		"message.timestamp.before.max.ms": "log.message.timestamp.before.max.ms",
		"message.timestamp.type":          "log.message.timestamp.type",
		"min.cleanable.dirty.ratio":       "log.cleaner.min.cleanable.ratio",
		"min.compaction.lag.ms":           "log.cleaner.min.compaction.lag.ms",
		"min.insync.replicas":             "min.insync.replicas",
		"preallocate":                     "log.preallocate",
		"remote.copy.lag.bytes":           "log.remote.copy.lag.bytes",
		"remote.copy.lag.ms":              "log.remote.copy.lag.ms",
		"retention.bytes":                 "log.retention.bytes",
		"retention.ms":                    "log.retention.ms",
		"segment.bytes":                   "log.segment.bytes",
		"segment.index.bytes":             "log.index.size.max.bytes",
		"segment.jitter.ms":               "log.roll.jitter.ms",
		"segment.ms":                      "log.roll.ms",
		"unclean.leader.election.enable":  "unclean.leader.election.enable",
	}
}

// olderUnits lists the broker properties that say the same in another unit, the preferred one first.
func olderUnits(name string) []string {
	for _, family := range [][]string{
		{"log.roll.ms", "log.roll.hours"},
		{"log.roll.jitter.ms", "log.roll.jitter.hours"},
		{"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
	} {
		if slices.Contains(family, name) {
			return family
		}
	}
	if name == "log.flush.interval.ms" { // its fallback is a property of its own
		return []string{"log.flush.interval.ms", "log.flush.scheduler.interval.ms"}
	}
	return []string{name}
}
