package config

// nodeRows says who this node is.
func nodeRows() []row {
	return []row{
		{"node.id", tInt, "1", High, ReadOnly, atLeast(0), on, "The number of this node in the cluster. It is written into the data directory and never changes."},
		{"broker.id", tInt, "-1", High, ReadOnly, anything(), on, "The old name of node.id; when both are set they must be equal."},
		{"process.roles", tList, "broker,controller", High, ReadOnly, distinct(listRule{of: []string{"broker", "controller"}}), on, "What this node does: broker holds partitions and serves clients, controller votes in the metadata quorum."},
		{"broker.rack", tString, null, Medium, ReadOnly, anything(), on, "The rack or zone of this node; replicas are spread over racks and consumers may read from their own."},
		{"server.max.startup.time.ms", tLong, maxLong, Medium, ReadOnly, atLeast(0), internal, "How long starting may take before the node gives up."},
		{"unstable.api.versions.enable", tBool, "false", High, ReadOnly, anything(), internal, "Whether API versions still in development are served. None are here."},
		{"unstable.feature.versions.enable", tBool, "false", High, ReadOnly, anything(), internal, "Whether feature levels still in development may be set. None exist here."},
		{"config.providers", tList, "", Low, ClusterWide, anything(), on, "Names of sources for ${name:...} in values; each needs config.providers.<name>.class. env, file and dir work without being declared."},
		{"background.threads", tInt, "10", High, ClusterWide, atLeast(1), off, "Threads for background work. Work here runs in goroutines that need no pool."},
		{"num.io.threads", tInt, "8", High, ClusterWide, atLeast(1), off, "Threads that handle requests. Each connection handles its own here."},
		{"num.network.threads", tInt, "3", High, ClusterWide, atLeast(1), off, "Threads that read and write sockets. Each connection handles its own here."},
	}
}

// networkRows is listeners, connections and requests.
func networkRows() []row {
	return []row{
		{"listeners", tList, "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093", High, ReadOnly, distinct(listRule{}), on, "The addresses to listen on, NAME://host:port. No host or 0.0.0.0 is every interface, port 0 any free port. A node that is its whole quorum may leave the controller listener out: it then gets one of its own on loopback, and no other node can join."},
		{"advertised.listeners", tList, null, High, ReadOnly, distinct(listRule{null: true}), on, "The addresses clients and other nodes are told to connect to. Unset, those of listeners; a wildcard host becomes the machine's name, port 0 the port that was bound."},
		{"listener.security.protocol.map", tString, "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Low, ReadOnly, anything(), on, "Which protocol each listener name speaks. Only PLAINTEXT can be served yet. Unset, a controller listener of another name is PLAINTEXT too."},
		{"controller.listener.names", tList, "CONTROLLER", High, ReadOnly, distinct(listRule{}), on, "The listener names the controller uses."},
		{"inter.broker.listener.name", tString, null, Medium, ReadOnly, anything(), on, "The listener brokers use among themselves; unset, the one of security.inter.broker.protocol."},
		{"security.inter.broker.protocol", tString, "PLAINTEXT", Medium, ReadOnly, oneOf("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"), on, "The protocol brokers use among themselves, when inter.broker.listener.name is not set."},
		{"early.start.listeners", tList, null, High, ReadOnly, distinct(listRule{empty: true, null: true}), off, "Listeners that open before the node is fully started. The controller's always does here."},
		{"socket.request.max.bytes", tInt, "104857600", High, ReadOnly, atLeast(1), on, "The largest request that is read; a larger one closes the connection."},
		{"socket.send.buffer.bytes", tInt, "102400", High, ReadOnly, anything(), off, "The send buffer of accepted sockets; -1 is the system's default, which is always used here."},
		{"socket.receive.buffer.bytes", tInt, "102400", High, ReadOnly, anything(), off, "The receive buffer of accepted sockets; -1 is the system's default, which is always used here."},
		{"socket.listen.backlog.size", tInt, "50", Medium, ReadOnly, atLeast(1), off, "How many connections may wait to be accepted. The system's own limit is used here."},
		{"max.connections", tInt, maxInt, Medium, ClusterWide, atLeast(0), on, "How many connections the node accepts; a listener may have its own limit as listener.name.<name>.max.connections."},
		{"max.connections.per.ip", tInt, maxInt, Medium, ClusterWide, atLeast(0), on, "How many connections one address may hold; 0 only together with overrides."},
		{"max.connections.per.ip.overrides", tString, "", Medium, ClusterWide, anything(), on, "host:count pairs that replace max.connections.per.ip for these addresses."},
		{"max.connection.creation.rate", tInt, maxInt, Medium, ClusterWide, atLeast(0), off, "How many connections a second are accepted."},
		{"connections.max.idle.ms", tLong, "600000", Medium, ReadOnly, anything(), on, "How long a connection may stay silent before it is closed; negative is for ever."},
		{"connection.failed.authentication.delay.ms", tInt, "100", Low, ReadOnly, atLeast(0), off, "How long the answer to a failed login is held back."},
		{"connections.max.reauth.ms", tLong, "0", Medium, ReadOnly, anything(), off, "How long a login lasts before the client must log in again; 0 is for ever."},
		{"queued.max.requests", tInt, "500", High, ReadOnly, atLeast(1), off, "How many requests may wait before sockets are no longer read. Each connection reads its next request only after the last here."},
		{"queued.max.request.bytes", tLong, "-1", Medium, ReadOnly, anything(), off, "How many bytes of requests may wait; -1 is without limit."},
		{"request.timeout.ms", tInt, "30000", High, ReadOnly, anything(), on, "How long a broker waits for the controller's answer."},
		{"socket.connection.setup.timeout.ms", tLong, "10000", Medium, ReadOnly, anything(), off, "How long connecting to another node may take at first."},
		{"socket.connection.setup.timeout.max.ms", tLong, "30000", Medium, ReadOnly, anything(), off, "How long connecting to another node may take after failures."},
		{"fetch.max.bytes", tInt, "57671680", Medium, ReadOnly, atLeast(1024), on, "The largest answer to a fetch request, whatever the client asks for; at least one batch is always returned."},
		{"max.incremental.fetch.session.cache.slots", tInt, "1000", Medium, ReadOnly, atLeast(0), on, "How many incremental fetch sessions are remembered."},
		{"max.request.partition.size.limit", tInt, "2000", Medium, ReadOnly, atLeast(1), on, "How many partitions one DescribeTopicPartitions answer holds."},
		{"fetch.purgatory.purge.interval.requests", tInt, "1000", Medium, ReadOnly, anything(), off, "How many finished waits pile up before they are swept. Waits leave at once here."},
		{"producer.purgatory.purge.interval.requests", tInt, "1000", Medium, ReadOnly, anything(), off, "As fetch.purgatory.purge.interval.requests, for produce requests."},
		{"delete.records.purgatory.purge.interval.requests", tInt, "1", Medium, ReadOnly, anything(), off, "As fetch.purgatory.purge.interval.requests, for DeleteRecords."},
		{"share.fetch.purgatory.purge.interval.requests", tInt, "1000", Medium, ReadOnly, anything(), off, "As fetch.purgatory.purge.interval.requests, for share fetches."},
	}
}

// replicationRows is followers, leaders and moving them.
func replicationRows() []row {
	return []row{
		{"num.replica.fetchers", tInt, "1", High, ClusterWide, atLeast(1), on, "How many connections a follower fetches through from each leader."},
		{"replica.fetch.min.bytes", tInt, "1", High, ReadOnly, anything(), on, "How many bytes a leader collects before it answers a follower."},
		{"replica.fetch.max.bytes", tInt, "1048576", Medium, ReadOnly, atLeast(0), on, "How many bytes a follower fetches of one partition at a time."},
		{"replica.fetch.response.max.bytes", tInt, "10485760", Medium, ReadOnly, atLeast(0), on, "How many bytes a follower fetches at a time."},
		{"replica.fetch.wait.max.ms", tInt, "500", High, ReadOnly, anything(), on, "How long a leader may hold a follower's fetch back."},
		{"replica.fetch.backoff.ms", tInt, "1000", Medium, ReadOnly, atLeast(0), on, "How long a follower waits at most until it fetches again what has failed."},
		{"replica.lag.time.max.ms", tLong, "30000", High, ReadOnly, anything(), on, "How long a follower may lag before it leaves the in-sync replicas."},
		{"replica.socket.timeout.ms", tInt, "30000", High, ReadOnly, anything(), on, "How long a follower waits for a leader's answer."},
		{"replica.socket.receive.buffer.bytes", tInt, "65536", High, ReadOnly, anything(), off, "The receive buffer of a follower's connection."},
		{"replica.high.watermark.checkpoint.interval.ms", tLong, "5000", High, ReadOnly, anything(), on, "How often high watermarks are written to their checkpoint file."},
		{"replica.selector.class", tString, null, Medium, ReadOnly, anything(), on, "How consumers are sent to a follower to read from."},
		{"num.replica.alter.log.dirs.threads", tInt, null, High, ReadOnly, anything(), off, "How many replicas move between data directories at a time."},
		{"controller.socket.timeout.ms", tInt, "30000", Medium, ReadOnly, anything(), off, "How long a call between controller and broker may take."},
		{"unclean.leader.election.enable", tBool, "false", High, ClusterWide, anything(), on, "The default of the topic property of the same name."},
		{"unclean.leader.election.interval.ms", tLong, "300000", Medium, ReadOnly, atLeast(1), internal, "How often the controller looks for partitions that may elect an unclean leader."},
		{"auto.leader.rebalance.enable", tBool, "true", High, ReadOnly, anything(), on, "Whether the controller moves leadership back to preferred replicas."},
		{"leader.imbalance.check.interval.seconds", tLong, "300", High, ReadOnly, atLeast(1), on, "How often it looks for leaders to move back."},
		{"controlled.shutdown.enable", tBool, "true", Medium, ReadOnly, anything(), on, "Whether a stopping broker first asks the controller to move its leaders."},
	}
}

// quorumRows is the controller, the metadata log and a broker's session with the controller.
func quorumRows() []row {
	return []row{
		{"controller.quorum.voters", tList, "", High, ReadOnly, anything(), on, "The controllers that begin the quorum, id@host:port, the same on each of them. Once the quorum exists it knows its voters itself, and changes here only draw a warning. Unset together with controller.quorum.bootstrap.servers, this node is the whole quorum."},
		{"controller.quorum.bootstrap.servers", tList, "", High, ReadOnly, anything(), on, "Addresses of controllers to find the quorum by, instead of listing its voters. One controller has to begin the quorum (dmq storage format --standalone), the others join it and wait until then. A single address that is this controller's own makes it the whole quorum."},
		{"controller.quorum.auto.join.enable", tBool, "false", Low, ReadOnly, anything(), off, "Whether a new controller adds itself to the quorum. Here somebody adds it: `dmq cluster quorum add-voter`, or AddRaftVoter."},
		{"controller.quorum.election.timeout.ms", tInt, "1000", High, ReadOnly, atLeast(0), off, "How long a candidate waits for votes. The quorum here has its own, shorter times."},
		{"controller.quorum.election.backoff.max.ms", tInt, "1000", High, ReadOnly, atLeast(0), off, "The longest pause before a new election after a failed one."},
		{"controller.quorum.fetch.timeout.ms", tInt, "2000", High, ReadOnly, atLeast(0), off, "How long a voter goes without its leader before it stands for election."},
		{"controller.quorum.request.timeout.ms", tInt, "2000", Medium, ReadOnly, atLeast(0), off, "How long a request within the quorum may take."},
		{"controller.quorum.retry.backoff.ms", tInt, "20", Low, ReadOnly, atLeast(0), off, "How long a failed request within the quorum waits before it is repeated."},
		{"controller.quorum.append.linger.ms", tInt, "25", Medium, ReadOnly, atLeast(0), off, "How long the leader collects records before it writes them. Writes are never held back here."},
		{"controller.quorum.fetch.max.bytes", tInt, "1048576", Low, ReadOnly, atLeast(1), off, "How many bytes of the metadata log are copied at a time."},
		{"controller.quorum.fetch.snapshot.max.bytes", tInt, "1048576", Low, ReadOnly, atLeast(1), off, "How many bytes of a metadata snapshot are copied at a time."},
		{"controller.performance.sample.period.ms", tLong, "60000", Medium, ReadOnly, atLeast(100), internal, "How often the controller logs how long its events took."},
		{"controller.performance.always.log.threshold.ms", tLong, "2000", Medium, ReadOnly, atLeast(0), internal, "How long a controller event may take before it is logged at once."},
		{"metadata.log.dir", tString, null, High, ReadOnly, anything(), on, "Where the metadata log is kept; unset, in the first data directory."},
		{"metadata.log.segment.bytes", tInt, "1073741824", High, ReadOnly, atLeast(8388608), off, "The segment size of Kafka's metadata log. Ours is kept by a key-value store."},
		{"metadata.log.segment.ms", tLong, "604800000", High, ReadOnly, anything(), off, "The segment age of Kafka's metadata log."},
		{"metadata.log.max.record.bytes.between.snapshots", tLong, "20971520", High, ReadOnly, atLeast(1), off, "How many bytes of metadata records are written before a new snapshot."},
		{"metadata.log.max.snapshot.interval.ms", tLong, "3600000", High, ReadOnly, atLeast(0), off, "How long without a new snapshot, when there is anything new."},
		{"metadata.max.idle.interval.ms", tInt, "500", Low, ReadOnly, atLeast(0), off, "How often an idle leader writes an empty record."},
		{"metadata.max.retention.bytes", tLong, "104857600", High, ReadOnly, anything(), off, "How large the metadata log and its snapshots may grow."},
		{"metadata.max.retention.ms", tLong, "604800000", High, ReadOnly, anything(), off, "How long old metadata snapshots are kept."},
		{"internal.metadata.log.segment.bytes", tInt, null, Low, ReadOnly, anything(), internal, "As metadata.log.segment.bytes, without a lower bound, for tests."},
		{"internal.metadata.max.batch.size.in.bytes", tInt, "8388608", Low, ReadOnly, anything(), internal, "The largest batch of metadata records, for tests."},
		{"internal.metadata.delete.delay.millis", tLong, "60000", Low, ReadOnly, anything(), internal, "How long deleted metadata segments linger, for tests."},
		{"broker.heartbeat.interval.ms", tInt, "2000", Medium, ReadOnly, anything(), on, "How often a broker tells the controller that it is alive."},
		{"broker.session.timeout.ms", tInt, "9000", Medium, ReadOnly, anything(), on, "How long the controller goes without a heartbeat before it fences a broker."},
		{"initial.broker.registration.timeout.ms", tInt, "60000", Medium, ReadOnly, anything(), off, "How long a starting broker tries to register before it gives up."},
	}
}
