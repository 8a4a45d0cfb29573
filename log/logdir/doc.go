// Package logdir opens the log directories of a broker and keeps all partition logs in them: which exist, where they are,
// what must be recovered, what is checkpointed, deleted or offline.
package logdir
