// Package kafkaimport reads the metadata of a stopped Apache Kafka node, so that a first start on its data directory knows the
// topics that lie there: with their ids, partition and leader epochs, configs, and producer ids that are never handed
// out again.
//
// It owns nothing and writes nothing; [Read] is a function of a folder. The folder is Kafka's __cluster_metadata-0:
//
//	<offset:20 digits>-<epoch:10 digits>.checkpoint   a snapshot: record batches, of which the first and last are control
//	                                                  batches (header, footer); it covers the log below offset
//	<base offset:20 digits>.log                       the log itself: record batches
//
// A record's value is a frame: frame version 1, api key, version (unsigned varints), then the fields of that record in
// Kafka's flexible encoding. Records between BeginTransaction and EndTransaction count only together.
//
// What is taken over: topics, partitions, configs of topics, groups, client metrics, of this broker and of all brokers, the
// level of metadata.version and the next producer id. Registrations are not: brokers register anew. Access control
// lists, quotas, credentials and tokens cannot be taken over yet; Result.Skipped counts them, and whoever starts the node
// must say so.
//
// A quorum of one holds only committed records. The log of a member of a larger quorum may end with some that the others
// overruled; they cannot be told apart here.
package kafkaimport
