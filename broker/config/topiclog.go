package config

import (
	"strconv"
	"strings"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/protocol/compress"
)

// TopicLog returns how a topic's partitions are kept: its overrides over the broker's defaults.
func (c *Config) TopicLog(overrides map[string]string, d Dynamic) commitlog.Config {
	merged := c.merged(d)
	v := c.topicValues(overrides, merged)
	i64 := func(name string) int64 { n, _ := v[name].(int64); return n }
	i32 := func(name string) int32 { return int32(i64(name)) }

	out := commitlog.DefaultConfig()
	out.SegmentBytes, out.SegmentMs, out.SegmentJitterMs = i32("segment.bytes"), i64("segment.ms"), i64("segment.jitter.ms")
	if n := i32("internal.segment.bytes"); n > 0 {
		out.SegmentBytes = n
	}
	out.SegmentIndexBytes, out.IndexIntervalBytes = i32("segment.index.bytes"), i32("index.interval.bytes")
	out.RetentionBytes, out.RetentionMs = i64("retention.bytes"), i64("retention.ms")
	out.MaxMessageBytes = i32("max.message.bytes")
	out.CleanupDelete, out.CleanupCompact = false, false
	policies, _ := v["cleanup.policy"].([]string)
	for _, policy := range policies {
		out.CleanupDelete = out.CleanupDelete || policy == "delete"
		out.CleanupCompact = out.CleanupCompact || policy == "compact"
	}
	out.LogAppendTime = v["message.timestamp.type"] == "LogAppendTime"
	out.TimestampBeforeMaxMs, out.TimestampAfterMaxMs = i64("message.timestamp.before.max.ms"), i64("message.timestamp.after.max.ms")
	out.FlushMessages, out.FlushMs = i64("flush.messages"), i64("flush.ms")
	out.FileDeleteDelayMs, out.DeleteRetentionMs = i64("file.delete.delay.ms"), i64("delete.retention.ms")
	out.MinCleanableRatio, _ = v["min.cleanable.dirty.ratio"].(float64)
	out.MinCompactionLagMs, out.MaxCompactionLagMs = i64("min.compaction.lag.ms"), i64("max.compaction.lag.ms")
	out.ProducerIDExpirationMs = c.intOf(merged, "producer.id.expiration.ms")

	out.CompressionProducer, out.Compression, out.CompressionLevel = false, compress.None, compress.DefaultLevel
	switch v["compression.type"] {
	case "gzip":
		out.Compression = compress.Gzip
		if level := i64("compression.gzip.level"); level != -1 {
			out.CompressionLevel = int(level)
		}
	case "snappy":
		out.Compression = compress.Snappy
	case "lz4":
		out.Compression, out.CompressionLevel = compress.LZ4, int(i64("compression.lz4.level"))
	case "zstd":
		out.Compression, out.CompressionLevel = compress.Zstd, int(i64("compression.zstd.level"))
	case "uncompressed":
	default:
		out.CompressionProducer = true
	}
	return out
}

// TopicMinISR returns a topic's min.insync.replicas. It is asked for by every produce request that waits for all
// replicas, so it reads only what it needs.
func (c *Config) TopicMinISR(overrides map[string]string, d Dynamic) int32 {
	const key = "min.insync.replicas" // the topic's and the broker's property have one name
	for _, layer := range [...]map[string]string{overrides, d.Broker, d.Cluster} {
		if text, ok := layer[key]; ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32); err == nil && n >= 1 {
				return int32(n)
			}
		}
	}
	return c.MinInsyncReplicas
}
