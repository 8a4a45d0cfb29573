// Package metrics counts what a broker does and shows it under the names that Kafka dashboards know: those of the JMX
// exporter and of kafka_exporter, and dmq_ for what Kafka lacks.
//
// It owns counters only. Hot paths add to atomics ([Topics], [Requests]); everything else is read from its owner at scrape
// time through [Sources]. Everything is safe from any goroutine. A broker registers one [Collector] with the registry it
// was given; there is no default registry.
//
// Series per partition are served by the partition's leader only, so that a sum over brokers counts each partition once.
// There are no labels of clients, principals or addresses.
package metrics
