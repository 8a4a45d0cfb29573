package peer

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Ports are taken from [lowPort, highPort): below the range of outgoing connections.
const lowPort, highPort = 15000, 32000

// ports remembers what this process has handed out, so that two brokers that are not listening yet never get the same port.
type ports struct {
	mu    sync.Mutex // guards taken
	taken map[int]bool
}

var handedOut = ports{taken: map[int]bool{}}

// FreePort returns a port of 127.0.0.1 that nobody listens on.
func FreePort() (int, error) {
	handedOut.mu.Lock()
	defer handedOut.mu.Unlock()
	for range 200 {
		p := lowPort + rand.IntN(highPort-lowPort)
		if handedOut.taken[p] {
			continue
		}
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", p))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return 0, err
		}
		handedOut.taken[p] = true
		return p, nil
	}
	return 0, fmt.Errorf("find a free port between %d and %d: none in 200 tries", lowPort, highPort)
}
