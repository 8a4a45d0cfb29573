// Command groups measures the group coordinator of a broker, ours or Apache Kafka, with requests that were encoded
// beforehand: requests per second, and with -pid the broker's CPU time for each.
//
//	groups -addr 127.0.0.1:9092 -pid $(pgrep dmq) -conns 32 -seconds 5 heartbeat
//	groups … -offsets 10 commit
//	groups … consumer
//	groups … -total 1000000 fill
//	groups … -conns 1000 join
//	groups … -conns 1000 joinconsumer
//
// Each connection is the only member of a group of its own and has one request in flight, as consumers have. heartbeat is
// Heartbeat of classic groups, commit OffsetCommit of -offsets partitions, fetch OffsetFetch of as many, consumer
// ConsumerGroupHeartbeat. fill commits -total offsets for groups without members, to measure afterwards how long they take
// to load. join and joinconsumer measure how long -conns members that come together to one group take until each has its
// assignment, in the classic and the new protocol; they report every 500 ms.
package main
