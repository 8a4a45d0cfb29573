// Package metrics counts what a broker does and shows it under the names that Kafka dashboards know: those of the JMX
// exporter and of kafka_exporter, and dmq_ for what Kafka lacks.
//
// It owns counters only. Hot paths add to atomics ([Topics], [Requests]); everything else is read from its owner at scrape
// time through [Sources]. Everything is safe from any goroutine. A broker registers one [Collector] with the registry it
// was given; there is no default registry.
//
// Series per partition are served by the partition's leader only, and those of a group by its coordinator only, so that a sum
// over brokers counts each once. A scrape may ask for a coarser [Level], and has no series of single partitions, topics of
// groups or groups where there are more than [MaxRows].
// There are no labels of clients, principals or addresses.
package metrics
