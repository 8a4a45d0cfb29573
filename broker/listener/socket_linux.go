package listener

import (
	"net"

	"golang.org/x/sys/unix"
)

// boundUnsent bounds what the kernel holds for a client that does not read: beyond n bytes that have not been sent yet, a
// write waits, instead of filling the send buffer of several MiB that each connection may have. What is on its way, and
// so the speed of a long line, is not bounded by it.
func boundUnsent(nc net.Conn, n int) {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tc.SyscallConn()
	if err != nil {
		return
	}
	// A kernel that refuses it goes on without.
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n) })
}
