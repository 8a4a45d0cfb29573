// Package history holds what clients of a cluster did and were told, and finds in it what the cluster must never do.
//
// A history is a stream of operations. Each is noted when it is over, by whoever did it, as ok, fail or unknown: fail only for an
// error that proves that nothing happened; every timeout and lost connection is unknown. Each record holds a Value of its own, so
// what is read says what was sent. After the faults are healed the whole log is read through every replica (Final polls), which
// is what everything else is held against.
//
// Check says what was broken; the kinds of anomaly are those of AnomalyKind. It is a function of the history alone, takes time
// in proportion to its length, and holds about 32 bytes for each record and 8 for each offset: ten million operations need less
// than half a GiB. Package replicas is the other half of the proof, on the disks of stopped nodes.
//
// On disk a history is JSON lines, one operation a line (Writer, ReadLines). A Writer may be used from many goroutines;
// Checker from one. The tests hand it every anomaly, and good histories made at random.
package history
