// Package checkpoint reads and writes the small files beside the segments, in Apache Kafka's formats.
//
// It owns no state: each function reads or replaces one file. Writers replace a file atomically and durably
// (vfs.WriteFileAtomic); two writers of one file must not run at once, readers may.
//
//	recovery-point-offset-checkpoint     text: "0", count, then "topic partition offset" lines
//	log-start-offset-checkpoint          the same
//	replication-offset-checkpoint        the same (high watermarks)
//	<partition>/leader-epoch-checkpoint  text: "0", count, then "epoch startOffset" lines
//	<partition>/partition.metadata       "version: 0", "topic_id: <uuid>"
//	meta.properties                      Java properties: version, cluster.id, node.id (broker.id in version 0), directory.id
//	.kafka_cleanshutdown                 JSON {"version":0,"brokerEpoch":N}
//
// Reading is as strict as Kafka: an empty checkpoint is no entries, a malformed line, a wrong count or an unknown version
// is a *FormatError. A missing file is fs.ErrNotExist for the files that carry identity (partition.metadata,
// meta.properties) and empty for the checkpoints, which Kafka creates when it first opens them.
package checkpoint
