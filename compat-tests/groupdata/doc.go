// Package groupdata has Apache Kafka write a partition of __consumer_offsets in which every kind of group is, and puts its
// records and what Kafka says of them into the test data of broker/group and broker/group/schema.
//
// Records.java adds the versions that only older releases wrote, from Kafka's own classes. `compat groupdata` runs both.
package groupdata
