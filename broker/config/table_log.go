package config

// logRows is where and how partitions are kept, for the whole node.
func logRows() []row {
	return []row{
		{"log.dir", tList, "./data", High, ReadOnly, distinct(listRule{}), on, "The data directory when log.dirs is not set."},
		{"log.dirs", tList, null, High, ReadOnly, distinct(listRule{null: true}), on, "The data directories, each on its own disk. Partitions are spread over them; one that fails takes only its own partitions offline."},
		{"cordoned.log.dirs", tList, "", Medium, PerBroker, distinct(listRule{empty: true, null: true}), on, "Data directories that get no new replicas; * is all of them. A broker that has all of them cordoned gets no new partitions."},
		{"log.dir.failure.timeout.ms", tLong, "30000", Low, ReadOnly, atLeast(1), off, "How long the broker keeps trying to tell the controller that a directory failed before it gives up and stops."},
		{"num.recovery.threads.per.data.dir", tInt, "2", High, ClusterWide, atLeast(1), on, "How many partitions of one data directory are recovered at a time after an unclean stop."},
		{"log.initial.task.delay.ms", tLong, "30000", Low, ReadOnly, atLeast(0), internal, "How long after the start the first retention and cleaning pass waits."},
		{"log.retention.check.interval.ms", tLong, "300000", Medium, ReadOnly, atLeast(1), on, "How often segments are checked against the retention limits."},
		{"log.flush.offset.checkpoint.interval.ms", tInt, "60000", High, ReadOnly, atLeast(0), off, "How often recovery points are written to the checkpoint file. They follow a sync within a second here."},
		{"log.flush.start.offset.checkpoint.interval.ms", tInt, "60000", High, ReadOnly, atLeast(0), off, "How often log start offsets moved by DeleteRecords are written to their checkpoint file."},
		{"log.flush.scheduler.interval.ms", tLong, maxLong, High, ReadOnly, anything(), on, "How often logs are looked at for a sync that flush.ms asks for."},
		{"producer.id.expiration.ms", tInt, "86400000", Low, ClusterWide, atLeast(1), on, "How long the state of an idempotent producer is kept after its last batch."},
		{"producer.id.expiration.check.interval.ms", tInt, "600000", Low, ReadOnly, atLeast(1), internal, "How often producer states are checked for expiry."},
	}
}

// topicRowsOfBrokers is the broker side of the topic properties: the defaults topics fall back to, and topic creation.
func topicRowsOfBrokers() []row {
	return []row{
		{"auto.create.topics.enable", tBool, "true", High, ReadOnly, anything(), on, "Whether a client that asks for the metadata of a missing topic creates it."},
		{"delete.topic.enable", tBool, "true", High, ReadOnly, anything(), on, "Whether DeleteTopics is allowed."},
		{"num.partitions", tInt, "1", Medium, ReadOnly, atLeast(1), on, "The partition count of a topic that is created without one."},
		{"default.replication.factor", tInt, "1", Medium, ReadOnly, anything(), on, "The replication factor of a topic that is created without one. Unset, it is 1 with one configured node and otherwise the smaller of 3 and the number of nodes."},
		{"min.insync.replicas", tInt, "1", High, ClusterWide, atLeast(1), on, "The default of the topic property of the same name. Unset, it is 2 as soon as the default replication factor is 3."},
		{"create.topic.policy.class.name", tClass, null, Low, ReadOnly, anything(), off, "A Java class that may veto topic creation. Classes cannot be loaded here."},
		{"alter.config.policy.class.name", tClass, null, Low, ReadOnly, anything(), off, "A Java class that may veto configuration changes. Classes cannot be loaded here."},
		{"compression.gzip.level", tInt, "-1", Medium, ClusterWide, gzipLevel(), on, "The default of the topic property of the same name."},
		{"compression.lz4.level", tInt, "9", Medium, ClusterWide, between(1, 17), on, "The default of the topic property of the same name."},
		{"compression.type", tString, "producer", High, ClusterWide, oneOf(compressionTypes()...), on, "The default of the topic property of the same name."},
		{"compression.zstd.level", tInt, "3", Medium, ClusterWide, between(-131072, 22), on, "The default of the topic property of the same name."},
		{"log.cleanup.policy", tList, "delete", Medium, ClusterWide, distinct(listRule{empty: true, of: []string{"compact", "delete"}}), on, "The default of cleanup.policy."},
		{"log.flush.interval.messages", tLong, "1", High, ClusterWide, atLeast(1), on, "The default of flush.messages. 1, the default here, makes every acknowledged record durable; 9223372036854775807 is Kafka's default."},
		{"log.flush.interval.ms", tLong, null, High, ClusterWide, anything(), on, "The default of flush.ms; unset, log.flush.scheduler.interval.ms."},
		{"log.index.interval.bytes", tInt, "4096", Medium, ClusterWide, atLeast(0), on, "The default of index.interval.bytes."},
		{"log.index.size.max.bytes", tInt, "10485760", Medium, ClusterWide, atLeast(4), on, "The default of segment.index.bytes."},
		{"log.local.retention.bytes", tLong, "-2", Medium, ClusterWide, atLeast(-2), off, "The default of local.retention.bytes."},
		{"log.local.retention.ms", tLong, "-2", Medium, ClusterWide, atLeast(-2), off, "The default of local.retention.ms."},
		{"log.message.timestamp.after.max.ms", tLong, "3600000", Medium, ClusterWide, atLeast(0), on, "The default of message.timestamp.after.max.ms."},
		{"log.message.timestamp.before.max.ms", tLong, maxLong, Medium, ClusterWide, atLeast(0), on, "The default of message.timestamp.before.max.ms."},
		{"log.message.timestamp.type", tString, "CreateTime", Medium, ClusterWide, oneOf("CreateTime", "LogAppendTime"), on, "The default of message.timestamp.type."},
		{"log.preallocate", tBool, "false", Medium, ClusterWide, anything(), off, "The default of preallocate."},
		{"log.remote.copy.lag.bytes", tLong, "-1", Medium, ClusterWide, atLeast(-1), off, "The default of remote.copy.lag.bytes."},
		{"log.remote.copy.lag.ms", tLong, "0", Medium, ClusterWide, atLeast(-1), off, "The default of remote.copy.lag.ms."},
		{"log.retention.bytes", tLong, "-1", High, ClusterWide, anything(), on, "The default of retention.bytes."},
		{"log.retention.hours", tInt, "168", High, ReadOnly, anything(), on, "The default of retention.ms, in hours, when neither log.retention.ms nor log.retention.minutes is set."},
		{"log.retention.minutes", tInt, null, High, ReadOnly, anything(), on, "The default of retention.ms, in minutes, when log.retention.ms is not set."},
		{"log.retention.ms", tLong, null, High, ClusterWide, anything(), on, "The default of retention.ms; -1 keeps everything."},
		{"log.roll.hours", tInt, "168", High, ReadOnly, atLeast(1), on, "The default of segment.ms, in hours, when log.roll.ms is not set."},
		{"log.roll.jitter.hours", tInt, "0", High, ReadOnly, atLeast(0), on, "The default of segment.jitter.ms, in hours, when log.roll.jitter.ms is not set."},
		{"log.roll.jitter.ms", tLong, null, High, ClusterWide, anything(), on, "The default of segment.jitter.ms."},
		{"log.roll.ms", tLong, null, High, ClusterWide, anything(), on, "The default of segment.ms."},
		{"log.segment.bytes", tInt, "1073741824", High, ClusterWide, atLeast(minSegmentBytes), on, "The default of segment.bytes."},
		{"log.segment.delete.delay.ms", tLong, "60000", High, ClusterWide, atLeast(0), on, "The default of file.delete.delay.ms."},
		{"max.decompressed.message.bytes", tInt, "2147483639", Medium, ClusterWide, between(1, maxArrayBytes), off, "The default of the topic property of the same name."},
		{"message.max.bytes", tInt, "1048588", High, ClusterWide, atLeast(0), on, "The default of max.message.bytes."},
	}
}

// cleanerRows is log compaction.
func cleanerRows() []row {
	return []row{
		{"log.cleaner.enable", tBool, "true", Medium, ReadOnly, anything(), on, "Whether compacted topics are compacted at all."},
		{"log.cleaner.threads", tInt, "1", Medium, ClusterWide, atLeast(0), on, "How many logs are compacted at a time."},
		{"log.cleaner.io.max.bytes.per.second", tDouble, "1.7976931348623157E308", Medium, ClusterWide, anything(), on, "The rate compaction may read and write at."},
		{"log.cleaner.dedupe.buffer.size", tLong, "134217728", Medium, ClusterWide, anything(), on, "The memory that the key maps of all compaction workers together may take. They take what the keys of a pass need, and give it back."},
		{"log.cleaner.io.buffer.size", tInt, "524288", Medium, ClusterWide, atLeast(0), on, "The memory for the read and write buffers of all compaction workers together."},
		{"log.cleaner.io.buffer.load.factor", tDouble, "0.9", Medium, ClusterWide, anything(), on, "How full a key map may become before a pass ends."},
		{"log.cleaner.backoff.ms", tLong, "15000", Medium, ClusterWide, atLeast(0), on, "How long compaction sleeps when there is nothing to do."},
		{"log.cleaner.min.cleanable.ratio", tDouble, "0.5", Medium, ClusterWide, ratio(0, 1), on, "The default of min.cleanable.dirty.ratio."},
		{"log.cleaner.delete.retention.ms", tLong, "86400000", Medium, ClusterWide, atLeast(0), on, "The default of delete.retention.ms."},
		{"log.cleaner.min.compaction.lag.ms", tLong, "0", Medium, ClusterWide, atLeast(0), on, "The default of min.compaction.lag.ms."},
		{"log.cleaner.max.compaction.lag.ms", tLong, maxLong, Medium, ClusterWide, atLeast(1), on, "The default of max.compaction.lag.ms."},
	}
}

// tieredRows is remote storage of closed segments (KIP-405).
func tieredRows() []row {
	const manager = "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"
	set := filledText()
	return []row{
		{"remote.log.storage.system.enable", tBool, "false", Medium, ReadOnly, anything(), off, "Whether the broker can keep closed segments in remote storage at all."},
		{"remote.log.storage.manager.class.name", tString, null, Medium, ReadOnly, set, off, "The Java class that reads and writes remote segments."},
		{"remote.log.storage.manager.class.path", tString, null, Medium, ReadOnly, anything(), off, "Where that class is loaded from."},
		{"remote.log.storage.manager.impl.prefix", tString, "rsm.config.", Medium, ReadOnly, set, off, "The prefix of the properties handed to that class."},
		{"remote.log.metadata.manager.class.name", tString, manager, Medium, ReadOnly, set, off, "The Java class that remembers which segments are remote."},
		{"remote.log.metadata.manager.class.path", tString, null, Medium, ReadOnly, anything(), off, "Where that class is loaded from."},
		{"remote.log.metadata.manager.impl.prefix", tString, "rlmm.config.", Medium, ReadOnly, set, off, "The prefix of the properties handed to that class."},
		{"remote.log.metadata.manager.listener.name", tString, null, Medium, ReadOnly, set, off, "The listener that class connects to."},
		{"remote.log.metadata.custom.metadata.max.bytes", tInt, "128", Low, ReadOnly, atLeast(0), off, "How much metadata of its own a remote storage class may keep for each segment."},
		{"remote.log.index.file.cache.total.size.bytes", tLong, "1073741824", Low, ClusterWide, atLeast(1), off, "The disk space for cached indexes of remote segments."},
		{"remote.log.index.file.cache.ttl.ms", tLong, "900000", Low, ReadOnly, atLeast(-1), internal, "How long an unused cached index is kept."},
		{"remote.log.manager.thread.pool.size", tInt, "2", Medium, ReadOnly, atLeast(1), off, "Workers for housekeeping of remote logs; replaced by the three sizes below."},
		{"remote.log.manager.copier.thread.pool.size", tInt, "10", Medium, ClusterWide, atLeast(1), off, "Workers that copy segments to remote storage."},
		{"remote.log.manager.expiration.thread.pool.size", tInt, "10", Medium, ClusterWide, atLeast(1), off, "Workers that delete expired remote segments."},
		{"remote.log.manager.follower.thread.pool.size", tInt, "2", Medium, ClusterWide, atLeast(1), off, "Workers that keep followers up to date about remote segments."},
		{"remote.log.manager.task.interval.ms", tLong, "30000", Low, ReadOnly, atLeast(1), off, "How often copying and expiry look for work."},
		{"remote.log.manager.task.retry.backoff.ms", tLong, "500", Low, ReadOnly, atLeast(1), internal, "The first pause after a failed remote task."},
		{"remote.log.manager.task.retry.backoff.max.ms", tLong, "30000", Low, ReadOnly, atLeast(1), internal, "The longest pause after failed remote tasks."},
		{"remote.log.manager.task.retry.jitter", tDouble, "0.2", Low, ReadOnly, ratio(0, 0.5), internal, "The random share added to that pause."},
		{"remote.log.manager.copy.max.bytes.per.second", tLong, maxLong, Medium, ClusterWide, atLeast(1), off, "The rate of copying to remote storage."},
		{"remote.log.manager.copy.quota.window.num", tInt, "11", Medium, ReadOnly, atLeast(1), off, "How many samples the copy rate is averaged over."},
		{"remote.log.manager.copy.quota.window.size.seconds", tInt, "1", Medium, ReadOnly, atLeast(1), off, "The length of one of those samples."},
		{"remote.log.manager.fetch.max.bytes.per.second", tLong, maxLong, Medium, ClusterWide, atLeast(1), off, "The rate of reading from remote storage."},
		{"remote.log.manager.fetch.quota.window.num", tInt, "11", Medium, ReadOnly, atLeast(1), off, "How many samples the read rate is averaged over."},
		{"remote.log.manager.fetch.quota.window.size.seconds", tInt, "1", Medium, ReadOnly, atLeast(1), off, "The length of one of those samples."},
		{"remote.log.reader.threads", tInt, "10", Medium, ClusterWide, atLeast(1), off, "Workers that read remote segments for consumers."},
		{"remote.log.reader.max.pending.tasks", tInt, "100", Medium, ReadOnly, atLeast(1), off, "How many remote reads may wait."},
		{"remote.fetch.max.wait.ms", tInt, "500", Medium, ClusterWide, atLeast(1), off, "How long a fetch waits for remote data."},
		{"remote.list.offsets.request.timeout.ms", tLong, "30000", Medium, ClusterWide, atLeast(1), off, "How long ListOffsets waits for remote data."},
		{"follower.fetch.last.tiered.offset.enable", tBool, "false", Medium, ClusterWide, anything(), off, "Whether a new follower of a tiered partition starts at the last remote offset."},
	}
}
