// Package groupdata plays groups of every kind on a broker, so that every kind of record is in its __consumer_offsets.
//
// Run has Apache Kafka play them, and puts the records and what Kafka says of the groups into the test data of broker/group;
// Records.java adds the versions that only older releases wrote, from Kafka's own classes. Check plays them on dmq and compares.
// Journey carries groups over: Kafka's folder opened by dmq, and dmq's records read by Kafka's tools.
package groupdata
