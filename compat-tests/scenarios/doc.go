// Package scenarios plays the eight acceptance scenarios of the system that dmq re-creates, on real processes: three controllers
// and two brokers from a services.json, driven by HTTP on their admin ports and by kcat.
//
// A [Topology] owns the processes and their folder; [Run] plays the scenarios one after the other on it, since each begins with
// what the one before left. Timers are short ones, or the original's (5 s and 30 s). Beside the checks it collects how long
// things took. Everything is used from one goroutine but the watcher of terms.
package scenarios
