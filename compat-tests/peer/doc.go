// Package peer starts and stops the brokers that the compatibility tests talk to: Apache Kafka, laid out from its
// published jars, and dmq as a real process.
//
// It owns the processes it starts and the folders it is given. A Broker is used from one goroutine:
// StartKafka or StartDMQ → Addr → Stop, Kill or Restart → Stop. A Cluster is several of them, used from one goroutine too:
// NewKafkaCluster or NewDMQCluster → Start → Stop or Kill. Either runs its programs as a Process, which others may use for
// programs of their own. Stop and Kill return when the process is gone.
// Nothing sleeps for a fixed time: every wait is for a condition and ends with an error when its context ends.
//
// Ports are taken below 32768, where no outgoing connection can take them first.
//
// The Kafka jars lie in the folder that Home names: $KAFKA_HOME_CACHE, or .cache/kafka in the repository.
package peer
