// Package broker puts a node together and is the way to run one inside another Go program.
//
// It owns the life of everything below it: the metadata quorum, the controller, the log directories, the replica manager,
// the request handlers and the listeners. It holds no state of its own beyond that.
//
// Life: New (memory only) → Start (I/O; returns when the node serves clients) → Shutdown (drains, leaves the clean mark) or
// Close (at once). Done is closed when the node has stopped by itself or was stopped; Err says why.
//
// Several brokers run in one process: nothing here or below is global, no signal is handled, no default registry is used.
//
// A broken invariant panics and is not recovered: the process must stop and let recovery decide.
package broker
