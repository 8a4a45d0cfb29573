// Package planted proves that the tests find what they are there to find: it plants each fault of internal/fault, one after the
// other, and each has to be found.
//
// Two proofs for a fault. Tests of the room where it is planted are run with the fault and have to fail; without it, and otherwise
// the same, they pass. And chaos runs (package chaos) on a dmq that has the fault have to find that clients were told what does not
// hold, or that replicas differ, within so many runs; that a cluster is slow to come back is not enough. Not every fault has the
// second one: some show only when a machine dies within a few microseconds.
package planted
