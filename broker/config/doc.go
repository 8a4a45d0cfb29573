// Package config is the one table of every configuration property: Kafka's topic and broker keys, the group and
// client-metrics keys, and our own dmq.* keys. Files, environment, command line, validation, DescribeConfigs, completion
// and docs/compatibility.md are all fed from it.
//
// It owns the static configuration of a node: [Load] reads it once from all sources and returns an immutable [Config].
// Dynamic values (per topic, per broker, cluster-wide) belong to the metadata image; they are arguments here, never state.
// Everything is safe from any goroutine.
//
// Invariants:
//  1. A name is in the table at most once per resource type.
//  2. Every default in the table passes its own validator.
//  3. Names, types, defaults, validators, synonyms and sources are those of Apache Kafka 4.4.0, except
//     flush.messages / log.flush.interval.messages, whose default is 1 (every acknowledged record is synced), and
//     the defaults that let a node start without any configuration.
//  4. A key that is known but has no effect yet is accepted, carries Effective == false and is warned of once by Load.
//
// A bad value is an error whose text is the one Kafka's clients see, with the kind INVALID_CONFIG (INVALID_REQUEST for
// brokers, as in Kafka); Load's error is a join of *FaultError.
package config
