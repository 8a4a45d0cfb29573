// Package diff sends the same request bytes to two brokers, one of them Apache Kafka, and compares the answers field by field.
//
// A Case is data: a name and steps that talk to one broker through a Session. It is run once against each broker; what a
// Session saw becomes a transcript. Everything that may differ between two brokers of the same behaviour is replaced while
// the transcript is written (normalise.go lists it: ids, times, ports, hosts, the cluster id, folders, throttle times), and
// then Compare walks both. A difference that is meant stands in expected.txt with its reason; an entry there that no longer
// matches anything is reported too, so that the list never grows stale.
//
// Two proofs keep the harness honest: Kafka against Kafka has no difference (normalisation is complete), and a planted
// difference is found (comparison is not blind).
//
//	cases_*.go    the cases, by API
//	session.go    one connection and one transcript per case and broker
//	pending.go    requests that the broker holds until others have acted
//	group.go      members of groups, of both protocols
//	brokers.go    what the brokers are started with, and when they are ready
//	tree.go       a decoded response as a tree of maps
//	normalise.go  what may differ
//	records.go    record batches: built for requests, decoded in fetch responses
//	compare.go    the differences of two transcripts
//	expected.go   the list of meant differences
//	run.go        all cases against two brokers
package diff
