// Package disk gives a test a disk of its own whose power can be cut, that can stall, and that can be full: an ext4 on a loop
// device. It needs root.
//
// New → Cut, Freeze, Thaw, Fill, Down, Up … → Close. A Disk is used from one goroutine.
package disk
