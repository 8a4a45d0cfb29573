// Package datadir carries data directories between Apache Kafka and dmq and checks that nothing is lost on the way.
//
// There: Kafka writes topics of many shapes (several segments, every codec, idempotent and transactional producers, deleted
// records, several leader epochs, configs), is stopped, and dmq starts on a copy of its folder. Back: dmq writes, Kafka
// creates the same topics, both are stopped, dmq's partition folders are laid into Kafka's, and Kafka starts.
// What a client could see before and after is compared: topics, ids, partitions, configs, leader epochs, offsets by time
// and by epoch, and every record batch byte for byte.
package datadir
