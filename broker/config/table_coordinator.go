package config

// groupCoordinatorRows is consumer, share and streams groups.
func groupCoordinatorRows() []row {
	const (
		dlqManager = "org.apache.kafka.server.share.dlq.DefaultShareGroupDLQManager"
		persister  = "org.apache.kafka.server.share.persister.DefaultStatePersister"
	)
	return []row{
		{"group.coordinator.rebalance.protocols", tList, "classic,consumer,streams", Medium, ReadOnly, distinct(listRule{of: []string{"consumer", "classic", "share", "streams"}}), on, "Which group protocols are served."},
		{"group.coordinator.threads", tInt, "4", High, ReadOnly, atLeast(1), off, "Threads of the group coordinator."},
		{"group.coordinator.background.threads", tInt, "2", High, ReadOnly, atLeast(1), on, "Threads for the group coordinator's side jobs."},
		{"group.coordinator.append.linger.ms", tInt, "-1", Medium, ReadOnly, atLeast(-1), off, "How long the group coordinator collects records before it writes them; -1 adapts."},
		{"group.coordinator.cached.buffer.max.bytes", tInt, "1048588", Medium, ClusterWide, atLeast(524288), on, "The largest write buffer the group coordinator keeps for reuse."},
		{"group.initial.rebalance.delay.ms", tInt, "3000", Medium, ReadOnly, anything(), on, "How long the first rebalance of a classic group waits for more members."},
		{"group.max.session.timeout.ms", tInt, "1800000", Medium, ReadOnly, anything(), on, "The longest session timeout a classic member may ask for."},
		{"group.min.session.timeout.ms", tInt, "6000", Medium, ReadOnly, anything(), on, "The shortest session timeout a classic member may ask for."},
		{"group.max.size", tInt, maxInt, Medium, ReadOnly, atLeast(1), on, "How many members a classic group may have."},
		{"group.consumer.assignment.interval.ms", tInt, "1000", Medium, ClusterWide, atLeast(0), on, "How long assignments of a consumer group are collected before they are computed."},
		{"group.consumer.min.assignment.interval.ms", tInt, "0", Medium, ReadOnly, atLeast(0), on, "The shortest such interval a group may set."},
		{"group.consumer.max.assignment.interval.ms", tInt, "15000", Medium, ReadOnly, atLeast(0), on, "The longest such interval a group may set."},
		{"group.consumer.assignor.offload.enable", tBool, "true", Medium, ClusterWide, anything(), testing, "Whether assignments are computed outside the coordinator's own thread."},
		{"group.consumer.assignors", tList, "uniform,range", Medium, ReadOnly, distinct(listRule{}), on, "The assignors of consumer groups; the first is the default."},
		{"group.consumer.heartbeat.interval.ms", tInt, "5000", Medium, ReadOnly, atLeast(1), on, "How often members of a consumer group report."},
		{"group.consumer.min.heartbeat.interval.ms", tInt, "5000", Medium, ReadOnly, atLeast(1), on, "The shortest such interval a group may set."},
		{"group.consumer.max.heartbeat.interval.ms", tInt, "15000", Medium, ReadOnly, atLeast(1), on, "The longest such interval a group may set."},
		{"group.consumer.session.timeout.ms", tInt, "45000", Medium, ReadOnly, atLeast(1), on, "How long a silent member stays in a consumer group."},
		{"group.consumer.min.session.timeout.ms", tInt, "45000", Medium, ReadOnly, atLeast(1), on, "The shortest such timeout a group may set."},
		{"group.consumer.max.session.timeout.ms", tInt, "60000", Medium, ReadOnly, atLeast(1), on, "The longest such timeout a group may set."},
		{"group.consumer.max.size", tInt, maxInt, Medium, ReadOnly, atLeast(1), on, "How many members a consumer group may have."},
		{"group.consumer.migration.policy", tString, "bidirectional", Medium, ReadOnly, oneOfFold("DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"), on, "Whether groups may move between the classic and the consumer protocol while members are in them."},
		{"group.consumer.regex.refresh.interval.ms", tInt, "600000", Medium, ReadOnly, atLeast(10000), testing, "How often subscriptions by pattern are resolved again."},
		{"group.share.assignment.interval.ms", tInt, "1000", Medium, ClusterWide, atLeast(0), off, "How long assignments of a share group are collected before they are computed."},
		{"group.share.min.assignment.interval.ms", tInt, "0", Medium, ReadOnly, atLeast(0), off, "The shortest such interval a group may set."},
		{"group.share.max.assignment.interval.ms", tInt, "15000", Medium, ReadOnly, atLeast(0), off, "The longest such interval a group may set."},
		{"group.share.assignor.offload.enable", tBool, "true", Medium, ClusterWide, anything(), internal, "Whether assignments are computed outside the coordinator's own thread."},
		{"group.share.assignors", tList, "simple", Medium, ReadOnly, distinct(listRule{}), off, "The assignor of share groups."},
		{"group.share.heartbeat.interval.ms", tInt, "5000", Medium, ReadOnly, atLeast(1), off, "How often members of a share group report."},
		{"group.share.min.heartbeat.interval.ms", tInt, "5000", Medium, ReadOnly, atLeast(1), off, "The shortest such interval a group may set."},
		{"group.share.max.heartbeat.interval.ms", tInt, "15000", Medium, ReadOnly, atLeast(1), off, "The longest such interval a group may set."},
		{"group.share.session.timeout.ms", tInt, "45000", Medium, ReadOnly, atLeast(1), off, "How long a silent member stays in a share group."},
		{"group.share.min.session.timeout.ms", tInt, "45000", Medium, ReadOnly, atLeast(1), off, "The shortest such timeout a group may set."},
		{"group.share.max.session.timeout.ms", tInt, "60000", Medium, ReadOnly, atLeast(1), off, "The longest such timeout a group may set."},
		{"group.share.max.size", tInt, "200", Medium, ReadOnly, between(1, 1000), off, "How many members a share group may have."},
		{"group.share.max.share.sessions", tInt, "2000", Medium, ReadOnly, atLeast(1), off, "How many share sessions a broker holds."},
		{"group.share.delivery.count.limit", tInt, "5", Medium, ReadOnly, between(2, 10), off, "How often a record is delivered before it is given up."},
		{"group.share.min.delivery.count.limit", tInt, "2", Medium, ReadOnly, between(2, 5), off, "The smallest such limit a group may set."},
		{"group.share.max.delivery.count.limit", tInt, "10", Medium, ReadOnly, between(5, 25), off, "The largest such limit a group may set."},
		{"group.share.partition.max.record.locks", tInt, "2000", Medium, ReadOnly, between(100, 10000), off, "How many records of a partition may be in flight."},
		{"group.share.min.partition.max.record.locks", tInt, "100", Medium, ReadOnly, between(100, 2000), off, "The smallest such limit a group may set."},
		{"group.share.max.partition.max.record.locks", tInt, "4000", Medium, ReadOnly, between(2000, 10000), off, "The largest such limit a group may set."},
		{"group.share.record.lock.duration.ms", tInt, "30000", Medium, ReadOnly, between(1000, 3600000), off, "How long a delivered record stays locked for its consumer."},
		{"group.share.min.record.lock.duration.ms", tInt, "15000", Medium, ReadOnly, between(1000, 30000), off, "The shortest such lock a group may set."},
		{"group.share.max.record.lock.duration.ms", tInt, "60000", Medium, ReadOnly, between(30000, 3600000), off, "The longest such lock a group may set."},
		{"group.share.initialize.retry.interval.ms", tInt, "30000", Low, ReadOnly, atLeast(1), internal, "How often setting up share state is tried again."},
		{"group.share.persister.class.name", tString, persister, Medium, ReadOnly, anything(), internal, "The Java class that keeps share state."},
		{"group.share.dlq.manager.class.name", tString, dlqManager, Medium, ReadOnly, anything(), internal, "The Java class that writes undeliverable records."},
		{"group.streams.assignment.interval.ms", tInt, "1000", Medium, ClusterWide, atLeast(0), off, "How long assignments of a streams group are collected before they are computed."},
		{"group.streams.min.assignment.interval.ms", tInt, "0", Medium, ReadOnly, atLeast(0), off, "The shortest such interval a group may set."},
		{"group.streams.max.assignment.interval.ms", tInt, "15000", Medium, ReadOnly, atLeast(0), off, "The longest such interval a group may set."},
		{"group.streams.assignor.offload.enable", tBool, "true", Medium, ClusterWide, anything(), internal, "Whether assignments are computed outside the coordinator's own thread."},
		{"group.streams.assignors", tList, "sticky", Medium, ReadOnly, distinct(listRule{}), off, "The assignors of streams groups; the first is the default."},
		{"group.streams.heartbeat.interval.ms", tInt, "5000", Medium, ReadOnly, atLeast(1), off, "How often members of a streams group report."},
		{"group.streams.min.heartbeat.interval.ms", tInt, "5000", Medium, ReadOnly, atLeast(1), off, "The shortest such interval a group may set."},
		{"group.streams.max.heartbeat.interval.ms", tInt, "15000", Medium, ReadOnly, atLeast(1), off, "The longest such interval a group may set."},
		{"group.streams.session.timeout.ms", tInt, "45000", Medium, ReadOnly, atLeast(1), off, "How long a silent member stays in a streams group."},
		{"group.streams.min.session.timeout.ms", tInt, "45000", Medium, ReadOnly, atLeast(1), off, "The shortest such timeout a group may set."},
		{"group.streams.max.session.timeout.ms", tInt, "60000", Medium, ReadOnly, atLeast(1), off, "The longest such timeout a group may set."},
		{"group.streams.max.size", tInt, maxInt, Medium, ReadOnly, atLeast(1), off, "How many members a streams group may have."},
		{"group.streams.initial.rebalance.delay.ms", tInt, "3000", Medium, ReadOnly, atLeast(0), off, "How long the first assignment of a streams group waits for more members."},
		{"group.streams.num.standby.replicas", tInt, "0", Medium, ReadOnly, atLeast(0), off, "How many standby copies each task has."},
		{"group.streams.max.standby.replicas", tInt, "2", Medium, ReadOnly, atLeast(0), off, "How many standby copies a group may ask for."},
		{"group.streams.num.warmup.replicas", tInt, "2", Medium, ReadOnly, atLeast(0), internal, "How many tasks warm up at a time before they move."},
		{"group.streams.max.warmup.replicas", tInt, "20", Medium, ReadOnly, atLeast(0), internal, "How many warming tasks a group may ask for."},
		{"group.streams.acceptable.recovery.lag", tLong, "10000", Medium, ReadOnly, atLeast(0), internal, "How far behind a warm task may be to count as caught up."},
		{"group.streams.task.offset.interval.ms", tInt, "60000", Medium, ReadOnly, atLeast(1), internal, "How often members report the offsets of their tasks."},
		{"group.streams.min.task.offset.interval.ms", tInt, "15000", Medium, ReadOnly, atLeast(1), internal, "The shortest such interval a group may set."},
		{"group.streams.rack.aware.assignment.tags", tList, "", Low, ReadOnly, distinct(listRule{empty: true}), off, "Client tags that standby copies are spread over."},
		{"group.streams.topology.description.plugin.class", tClass, null, Medium, ReadOnly, anything(), off, "A Java class that keeps descriptions of streams topologies."},
		{"errors.deadletterqueue.auto.create.topics.enable", tBool, "false", Medium, ClusterWide, anything(), off, "Whether topics for undeliverable records of share groups are created when they are missing."},
		{"errors.deadletterqueue.topic.name.prefix", tString, "dlq.", Medium, ClusterWide, anything(), off, "How the names of such topics must begin."},
	}
}

// offsetRows is committed offsets.
func offsetRows() []row {
	return []row{
		{"offset.metadata.max.bytes", tInt, "4096", High, ReadOnly, anything(), on, "The longest text a client may store with a committed offset."},
		{"offsets.commit.timeout.ms", tInt, "5000", High, ReadOnly, atLeast(1), on, "How long a commit waits for its replicas."},
		{"offsets.load.buffer.size", tInt, "5242880", High, ReadOnly, atLeast(1), on, "How many bytes are read at a time when a coordinator loads its groups."},
		{"offsets.retention.check.interval.ms", tLong, "600000", High, ReadOnly, atLeast(1), on, "How often committed offsets are checked for expiry."},
		{"offsets.retention.minutes", tInt, "10080", High, ReadOnly, atLeast(1), on, "How long the offsets of an empty group are kept."},
		{"offsets.topic.compression.codec", tInt, "0", High, ReadOnly, anything(), on, "The codec of the offsets topic, as a number."},
		{"offsets.topic.num.partitions", tInt, "50", High, ReadOnly, atLeast(1), on, "How many partitions the offsets topic is created with."},
		{"offsets.topic.replication.factor", tShort, "3", High, ReadOnly, atLeast(1), on, "The replication factor the offsets topic is created with; unset, as many as there are nodes, at most 3."},
		{"offsets.topic.segment.bytes", tInt, "104857600", High, ReadOnly, atLeast(1), on, "The segment size of the offsets topic."},
	}
}

// transactionRows is the transaction coordinator and the partitions' side of transactions.
func transactionRows() []row {
	return []row{
		{"transaction.max.timeout.ms", tInt, "900000", High, ReadOnly, atLeast(1), off, "The longest transaction a producer may ask for."},
		{"transactional.id.expiration.ms", tInt, "604800000", High, ReadOnly, atLeast(1), off, "How long an unused transactional id is remembered."},
		{"transaction.abort.timed.out.transaction.cleanup.interval.ms", tInt, "10000", Low, ReadOnly, atLeast(1), off, "How often timed-out transactions are aborted."},
		{"transaction.remove.expired.transaction.cleanup.interval.ms", tInt, "3600000", Low, ReadOnly, atLeast(1), off, "How often expired transactional ids are removed."},
		{"transaction.partition.verification.enable", tBool, "true", Low, ClusterWide, anything(), off, "Whether a partition asks the coordinator before it accepts the first batch of a transaction."},
		{"transaction.two.phase.commit.enable", tBool, "false", Low, ReadOnly, anything(), off, "Whether producers may prepare a transaction and decide later."},
		{"transaction.state.log.num.partitions", tInt, "50", High, ReadOnly, atLeast(1), off, "How many partitions the transaction topic is created with."},
		{"transaction.state.log.replication.factor", tShort, "3", High, ReadOnly, atLeast(1), off, "The replication factor the transaction topic is created with; unset, as many as there are nodes, at most 3."},
		{"transaction.state.log.min.isr", tInt, "2", High, ReadOnly, atLeast(1), off, "The min.insync.replicas of the transaction topic; unset, 1 with one node."},
		{"transaction.state.log.segment.bytes", tInt, "104857600", High, ReadOnly, atLeast(1), off, "The segment size of the transaction topic."},
		{"transaction.state.log.load.buffer.size", tInt, "5242880", High, ReadOnly, atLeast(1), off, "How many bytes are read at a time when a coordinator loads its transactions."},
		{"add.partitions.to.txn.retry.backoff.ms", tInt, "20", High, ReadOnly, atLeast(1), off, "The first pause when a partition cannot be added to a transaction yet."},
		{"add.partitions.to.txn.retry.backoff.max.ms", tInt, "100", High, ReadOnly, atLeast(0), off, "The longest such pause."},
	}
}

// shareCoordinatorRows is the state of share groups.
func shareCoordinatorRows() []row {
	return []row{
		{"share.coordinator.append.linger.ms", tInt, "-1", Medium, ReadOnly, atLeast(-1), off, "How long the share coordinator collects records before it writes them; -1 adapts."},
		{"share.coordinator.cached.buffer.max.bytes", tInt, "1048588", Medium, ClusterWide, atLeast(524288), off, "The largest write buffer the share coordinator keeps for reuse."},
		{"share.coordinator.cold.partition.snapshot.interval.ms", tInt, "300000", Low, ReadOnly, atLeast(1), internal, "How often the state of idle partitions is written again."},
		{"share.coordinator.load.buffer.size", tInt, "5242880", High, ReadOnly, atLeast(1), off, "How many bytes are read at a time when a share coordinator loads its state."},
		{"share.coordinator.snapshot.update.records.per.snapshot", tInt, "500", Medium, ReadOnly, between(0, 500), off, "How many changes are written between two full states."},
		{"share.coordinator.state.topic.compression.codec", tInt, "0", High, ReadOnly, anything(), off, "The codec of the share state topic, as a number."},
		{"share.coordinator.state.topic.min.isr", tShort, "2", High, ReadOnly, atLeast(1), off, "The min.insync.replicas of the share state topic; unset, 1 with one node."},
		{"share.coordinator.state.topic.num.partitions", tInt, "50", High, ReadOnly, atLeast(1), off, "How many partitions the share state topic is created with."},
		{"share.coordinator.state.topic.prune.interval.ms", tInt, "300000", Low, ReadOnly, atLeast(1), internal, "How often outdated share state is dropped."},
		{"share.coordinator.state.topic.replication.factor", tShort, "3", High, ReadOnly, atLeast(1), off, "The replication factor the share state topic is created with; unset, as many as there are nodes, at most 3."},
		{"share.coordinator.state.topic.segment.bytes", tInt, "104857600", High, ReadOnly, atLeast(1), off, "The segment size of the share state topic."},
		{"share.coordinator.threads", tInt, "1", Medium, ReadOnly, atLeast(1), off, "Threads of the share coordinator."},
		{"share.coordinator.write.timeout.ms", tInt, "5000", High, ReadOnly, atLeast(1), off, "How long a write of share state waits for its replicas."},
	}
}
