// Package producerstate keeps what one partition knows of its idempotent and transactional producers: the last five
// batches of each producer id, and which transactions are open. It makes retries harmless and bounds what
// read_committed consumers may see.
//
// It owns the partition's *.snapshot files. A Manager has no lock: its owner, the partition's log, calls it under the
// log's mutex. Semantics are those of Kafka's ProducerStateManager, ProducerAppendInfo and ProducerStateEntry.
package producerstate
