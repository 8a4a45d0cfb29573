package log

import (
	"math"

	"github.com/distributedmq/dmq/protocol/compress"
)

// Config is how a partition's log is kept: Kafka's topic configs that the log acts on. Sizes are bytes, times are
// milliseconds, -1 retention is without limit.
type Config struct {
	SegmentBytes       int32 // segment.bytes: a segment is rolled before it grows past this
	SegmentMs          int64 // segment.ms: ... or when its first batch is older than this
	SegmentJitterMs    int64 // segment.jitter.ms: SegmentMs less a share of this, which differs between partitions
	SegmentIndexBytes  int32 // segment.index.bytes: ... or when an index has grown to this
	IndexIntervalBytes int32 // index.interval.bytes: bytes of records between index entries

	RetentionBytes int64 // retention.bytes
	RetentionMs    int64 // retention.ms
	CleanupDelete  bool  // cleanup.policy contains delete
	CleanupCompact bool  // cleanup.policy contains compact: every record needs a key

	MaxMessageBytes      int32 // max.message.bytes: the largest batch as stored
	LogAppendTime        bool  // message.timestamp.type=LogAppendTime
	TimestampBeforeMaxMs int64 // message.timestamp.before.max.ms
	TimestampAfterMaxMs  int64 // message.timestamp.after.max.ms

	CompressionProducer bool           // compression.type=producer: batches are stored as sent
	Compression         compress.Codec // otherwise every batch is stored with this codec
	CompressionLevel    int            // compression.<codec>.level

	// FlushMessages is flush.messages. 1 is durable mode: SyncedEndOffset is what has been synced, and callers
	// acknowledge and show nothing above it. Any other value has Kafka's meaning: a sync is begun after so many records,
	// and nothing waits for it.
	FlushMessages int64
	FlushMs       int64 // flush.ms: a sync is begun at latest so long after a record was written

	FileDeleteDelayMs      int64 // file.delete.delay.ms: how long a deleted segment's files stay under .deleted
	ProducerIDExpirationMs int64 // producer.id.expiration.ms

	// Of compaction.
	DeleteRetentionMs  int64   // delete.retention.ms: how long tombstones and end markers stay after they were compacted
	MinCleanableRatio  float64 // min.cleanable.dirty.ratio: the share of dirty bytes above which a log is compacted
	MinCompactionLagMs int64   // min.compaction.lag.ms: a segment with a younger record is not compacted
	MaxCompactionLagMs int64   // max.compaction.lag.ms: an older one is, whatever its share
}

// maxSegmentMs is when a segment is rolled at latest: nothing can be compacted before.
func (c *Config) maxSegmentMs() int64 {
	if c.CleanupCompact && c.MaxCompactionLagMs > 0 {
		return min(c.SegmentMs, c.MaxCompactionLagMs)
	}
	return c.SegmentMs
}

// durable reports whether callers wait for syncs.
func (c *Config) durable() bool { return c.FlushMessages == 1 }

// DefaultConfig returns Kafka's defaults, except that FlushMessages is 1.
func DefaultConfig() Config {
	const hour = 60 * 60 * 1000
	return Config{
		SegmentBytes:           1 << 30,
		SegmentMs:              7 * 24 * hour,
		SegmentIndexBytes:      10 << 20,
		IndexIntervalBytes:     4096,
		RetentionBytes:         -1,
		RetentionMs:            7 * 24 * hour,
		CleanupDelete:          true,
		MaxMessageBytes:        1<<20 + 12,
		TimestampBeforeMaxMs:   math.MaxInt64,
		TimestampAfterMaxMs:    hour,
		CompressionProducer:    true,
		CompressionLevel:       compress.DefaultLevel,
		FlushMessages:          1,
		FlushMs:                math.MaxInt64,
		FileDeleteDelayMs:      60 * 1000,
		ProducerIDExpirationMs: 24 * hour,
		DeleteRetentionMs:      24 * hour,
		MinCleanableRatio:      0.5,
		MaxCompactionLagMs:     math.MaxInt64,
	}
}
