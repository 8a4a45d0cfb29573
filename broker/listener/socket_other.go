//go:build !linux

package listener

import "net"

// boundUnsent needs Linux.
func boundUnsent(net.Conn, int) {}
