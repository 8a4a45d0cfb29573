// Package raw is what the measuring clients have in common: a connection that costs next to nothing, and the CPU time and memory of processes.
package raw
