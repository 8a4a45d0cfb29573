// Package chaos runs three dmq nodes as real processes, each in a network namespace and on a disk of its own, does to them what
// happens to machines, and holds them to what they promised their clients.
//
// A run: nodes start; idempotent producers with acks=all, a consumer, a group that commits, and one that asks where things stand
// work throughout and note every operation (package history). Faults come from a Schedule, which the seed decides: kill -9
// of one, of a leader, of the controller, of two, of all; SIGSTOP; links cut both ways and one way, lossy, slow; the power of one
// disk or of all cut; disks full and slow; a rolling restart; replicas that leave and come back. Then everything is healed: there
// are leaders within 10 s and all replicas in sync within 30 s, every record that was sent is resolved, the group has read
// everything; the whole log is read through every replica, the history checked, and the disks of the stopped nodes compared
// (package replicas).
//
// Without root the nodes are plain processes on loopback with a proxy in front of each: what needs namespaces or disks is NOT RUN,
// and said so.
//
// A run that fails leaves its history, the nodes' logs and data in its folder.
package chaos
