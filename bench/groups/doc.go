// Package groups measures the group coordinator of a broker, ours or Apache Kafka's, with requests that are encoded
// beforehand: what a heartbeat, a commit and a fetch of offsets cost, how long a group takes to rebalance, and a restarted
// broker to load its offsets. It knows a broker by its address and, for its CPU time, its process.
//
// The command is in compat-tests, which starts the brokers that are compared:
//
//	cd compat-tests && go run ./cmd/compat bench-groups
//
// A Load is run from one goroutine and ends what it starts before it returns.
package groups
