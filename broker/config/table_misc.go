package config

// quotaRows is throttling.
func quotaRows() []row {
	return []row{
		{"quota.window.num", tInt, "11", Low, ReadOnly, atLeast(1), off, "How many samples client rates are averaged over."},
		{"quota.window.size.seconds", tInt, "1", Low, ReadOnly, atLeast(1), off, "The length of one of those samples."},
		{"replication.quota.window.num", tInt, "11", Low, ReadOnly, atLeast(1), on, "How many samples replication rates are averaged over."},
		{"replication.quota.window.size.seconds", tInt, "1", Low, ReadOnly, atLeast(1), on, "The length of one of those samples."},
		{"alter.log.dirs.replication.quota.window.num", tInt, "11", Low, ReadOnly, atLeast(1), off, "How many samples the rate of moves between directories is averaged over."},
		{"alter.log.dirs.replication.quota.window.size.seconds", tInt, "1", Low, ReadOnly, atLeast(1), off, "The length of one of those samples."},
		{"controller.quota.window.num", tInt, "11", Low, ReadOnly, atLeast(1), off, "How many samples topic changes are averaged over."},
		{"controller.quota.window.size.seconds", tInt, "1", Low, ReadOnly, atLeast(1), off, "The length of one of those samples."},
		{"client.quota.callback.class", tClass, null, Low, ReadOnly, anything(), off, "A Java class that decides about quotas."},
	}
}

// dynamicOnlyRows are broker properties that exist only as dynamic ones: a file cannot set them, and they are not listed
// until they are set.
func dynamicOnlyRows() []row {
	return []row{
		{"leader.replication.throttled.rate", tLong, maxLong, Medium, ClusterWide, atLeast(0), testing, "The rate leaders send to throttled followers at."},
		{"follower.replication.throttled.rate", tLong, maxLong, Medium, ClusterWide, atLeast(0), testing, "The rate throttled followers fetch at."},
		{"replica.alter.log.dirs.io.max.bytes.per.second", tLong, maxLong, Medium, ClusterWide, atLeast(0), internal, "The rate replicas move between data directories at."},
	}
}

// metricRows is metrics; ours are served at /metrics of the admin port.
func metricRows() []row {
	return []row{
		{"metric.reporters", tList, "org.apache.kafka.common.metrics.JmxReporter", Low, ClusterWide, distinct(listRule{empty: true}), off, "Java classes that report metrics. Metrics are served at /metrics of dmq.admin.listen here."},
		{"metrics.num.samples", tInt, "2", Low, ReadOnly, atLeast(1), off, "How many samples a rate is averaged over."},
		{"metrics.sample.window.ms", tLong, "30000", Low, ReadOnly, atLeast(1), off, "The length of one of those samples."},
		{"metrics.recording.level", tString, "INFO", Low, ReadOnly, anything(), off, "How detailed metrics are."},
		{"kafka.metrics.reporters", tList, "", Low, ReadOnly, distinct(listRule{empty: true}), off, "Java classes that report Yammer metrics."},
		{"kafka.metrics.polling.interval.secs", tInt, "10", Low, ReadOnly, atLeast(1), off, "How often those classes are called."},
		{"telemetry.max.bytes", tInt, "1048576", Low, ReadOnly, atLeast(1), off, "The largest metrics report accepted from a client."},
	}
}

// groupRows is the properties of one group; an unset one falls back to the broker property of groupSynonyms.
func groupRows() []row {
	return []row{
		{"consumer.assignment.interval.ms", tInt, "1000", Medium, ClusterWide, atLeast(0), on, "group.consumer.assignment.interval.ms for this group."},
		{"consumer.assignor.offload.enable", tBool, "true", Medium, ClusterWide, anything(), testing, "group.consumer.assignor.offload.enable for this group."},
		{"consumer.heartbeat.interval.ms", tInt, "5000", Medium, ClusterWide, atLeast(1), on, "group.consumer.heartbeat.interval.ms for this group."},
		{"consumer.session.timeout.ms", tInt, "45000", Medium, ClusterWide, atLeast(1), on, "group.consumer.session.timeout.ms for this group."},
		{"errors.deadletterqueue.copy.record.enable", tBool, "false", Medium, ClusterWide, anything(), off, "Whether undeliverable records are copied whole or only described."},
		{"errors.deadletterqueue.topic.name", tString, "", Medium, ClusterWide, anything(), off, "The topic for this group's undeliverable records."},
		{"share.assignment.interval.ms", tInt, "1000", Medium, ClusterWide, atLeast(0), off, "group.share.assignment.interval.ms for this group."},
		{"share.assignor.offload.enable", tBool, "true", Medium, ClusterWide, anything(), internal, "group.share.assignor.offload.enable for this group."},
		{"share.auto.offset.reset", tString, "latest", Medium, ClusterWide, offsetReset(), off, "Where a share group starts: earliest, latest, or by_duration: and how far back."},
		{"share.delivery.count.limit", tInt, "5", Medium, ClusterWide, atLeast(2), off, "group.share.delivery.count.limit for this group."},
		{"share.heartbeat.interval.ms", tInt, "5000", Medium, ClusterWide, atLeast(1), off, "group.share.heartbeat.interval.ms for this group."},
		{"share.isolation.level", tString, "read_uncommitted", Medium, ClusterWide, oneOf("read_committed", "read_uncommitted"), off, "Whether a share group sees records of open and aborted transactions."},
		{"share.partition.max.record.locks", tInt, "2000", Medium, ClusterWide, atLeast(100), off, "group.share.partition.max.record.locks for this group."},
		{"share.record.lock.duration.ms", tInt, "30000", Medium, ClusterWide, atLeast(1000), off, "group.share.record.lock.duration.ms for this group."},
		{"share.renew.acknowledge.enable", tBool, "true", Medium, ClusterWide, anything(), off, "Whether consumers may extend the lock of a record."},
		{"share.session.timeout.ms", tInt, "45000", Medium, ClusterWide, atLeast(1), off, "group.share.session.timeout.ms for this group."},
		{"streams.acceptable.recovery.lag", tLong, "10000", Medium, ClusterWide, atLeast(0), internal, "group.streams.acceptable.recovery.lag for this group."},
		{"streams.assignment.interval.ms", tInt, "1000", Medium, ClusterWide, atLeast(0), off, "group.streams.assignment.interval.ms for this group."},
		{"streams.assignor.name", tString, null, Medium, ClusterWide, anything(), off, "The assignor of this streams group."},
		{"streams.assignor.offload.enable", tBool, "true", Medium, ClusterWide, anything(), internal, "group.streams.assignor.offload.enable for this group."},
		{"streams.heartbeat.interval.ms", tInt, "5000", Medium, ClusterWide, atLeast(1), off, "group.streams.heartbeat.interval.ms for this group."},
		{"streams.initial.rebalance.delay.ms", tInt, "3000", Medium, ClusterWide, atLeast(0), off, "group.streams.initial.rebalance.delay.ms for this group."},
		{"streams.num.standby.replicas", tInt, "0", Medium, ClusterWide, atLeast(0), off, "group.streams.num.standby.replicas for this group."},
		{"streams.num.warmup.replicas", tInt, "2", Medium, ClusterWide, atLeast(0), internal, "group.streams.num.warmup.replicas for this group."},
		{"streams.rack.aware.assignment.tags", tList, "", Low, ClusterWide, distinct(listRule{empty: true}), off, "group.streams.rack.aware.assignment.tags for this group."},
		{"streams.session.timeout.ms", tInt, "45000", Medium, ClusterWide, atLeast(1), off, "group.streams.session.timeout.ms for this group."},
		{"streams.task.offset.interval.ms", tInt, "60000", Medium, ClusterWide, atLeast(1), internal, "group.streams.task.offset.interval.ms for this group."},
	}
}

// groupSynonym is the broker property that holds a group property's default, or "".
func groupSynonym(name string) string {
	switch name {
	case "errors.deadletterqueue.copy.record.enable", "errors.deadletterqueue.topic.name", "share.auto.offset.reset", "share.isolation.level", "share.renew.acknowledge.enable":
		return ""
	case "streams.assignor.name":
		return "group.streams.assignors"
	}
	return "group." + name
}

// clientMetricsRows is a subscription to the metrics of clients (KIP-714).
func clientMetricsRows() []row {
	return []row{
		{"interval.ms", tInt, "300000", Medium, ClusterWide, anything(), off, "How often clients push their metrics."},
		{"match", tList, "", Medium, ClusterWide, distinct(listRule{empty: true}), off, "Which clients push: name=pattern pairs that must all match."},
		{"metrics", tList, "", Medium, ClusterWide, distinct(listRule{empty: true}), off, "Which metrics clients push, by prefix."},
	}
}

// dmqRows is our own keys.
func dmqRows() []row {
	return []row{
		{"dmq.admin.listen", tString, "127.0.0.1:9091", High, ReadOnly, anything(), on, "Where the admin port listens: REST below /api/v1, /livez, /readyz and /metrics over HTTP, without login. Empty switches it off, port 0 is any free port."},
		{"dmq.admin.advertised", tString, null, High, ReadOnly, anything(), on, "Where others reach the admin port, host:port or its URL; unset, where it listens, a wildcard replaced by the host of advertised.listeners. Port 0 is the one it listens on."},
		{"dmq.broker.dialback.enable", tBool, "true", Low, ReadOnly, anything(), on, "Whether the controller asks, when a broker's session breaks off, if its process lives, and fences it at once if it does not. Without it a dead broker is fenced after broker.session.timeout.ms."},
		{"dmq.cluster.id", tString, null, Medium, ReadOnly, anything(), on, "The id a cluster gets at its very first start; unset, a random one."},
		{"dmq.log.format", tString, "auto", Medium, ReadOnly, oneOf("auto", "console", "json", "logfmt"), on, "How the node logs; auto is console on a terminal and json otherwise."},
		{"dmq.log.level", tString, "info", Medium, ReadOnly, oneOf("debug", "info", "warn", "error"), on, "The least important messages that are still logged."},
		{"dmq.log.emoji", tString, "auto", Low, ReadOnly, oneOf("auto", "on", "off"), on, "Whether console messages begin with a marker; auto asks for a terminal and a UTF-8 locale."},
		{"dmq.shutdown.timeout", tString, "30s", Medium, ReadOnly, duration(), on, "How long a graceful stop may take before the node stops at once."},
	}
}
