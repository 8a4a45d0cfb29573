// Package vfs is the filesystem seam of the log: everything below log/ opens, syncs and renames files through it and
// never through package os, so that crashes, full disks and failing disks can be rehearsed in memory.
//
// It owns no files. Three implementations: [OS] is the real filesystem, [Mem] lives in memory and can be cloned as a
// power cut would leave it ([Mem.CrashClone]), [Inject] wraps another one and fails chosen operations.
//
// All methods of FS and File are safe from any goroutine, except that a File must not be used while or after it is
// closed.
//
// What survives a crash, as on ext4 and xfs (the conformance suite and Mem hold callers to it):
//
//  1. Bytes written are lost or torn per 4 KiB block until SyncData or Sync returned nil.
//  2. A size that grew is part of what SyncData makes durable; so is a Truncate.
//  3. A name (created, renamed or removed) is durable only after SyncDir of its folder returned nil.
//  4. A failed sync says nothing about what is on disk; it must never be retried.
//  5. Rename replaces the target atomically: after a crash the name leads to the old or the new file.
//
// Names are slash-separated paths as package os takes them on the platform. Errors wrap those of io/fs
// (fs.ErrNotExist, fs.ErrExist, fs.ErrClosed) and, from OS, the syscall.Errno (ENOSPC, EIO).
package vfs
