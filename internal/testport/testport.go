// Package testport hands out TCP ports on loopback to tests that must know a port before they listen on it, such as a node that
// restarts at the address its peers know.
//
// Ports are below the range that the system gives to connections by itself. A process that asks for some first takes a block of a
// hundred, by listening on the first of them until it ends, so that tests that run at the same time do not meet.
package testport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

const (
	lowest    = 20000
	highest   = 32000
	blockSize = 100
)

// block is the ports of this process.
type block struct {
	guard net.Listener // held until the process ends

	mu   sync.Mutex // guards next
	next int
	end  int
}

// own takes a block, once in the life of the process.
var own = sync.OnceValues(func() (*block, error) {
	const blocks = (highest - lowest) / blockSize
	for i := range blocks {
		first := lowest + (os.Getpid()+i)%blocks*blockSize
		if l, err := listen(first); err == nil {
			return &block{guard: l, next: first + 1, end: first + blockSize}, nil
		}
	}
	return nil, errors.New("no block of ports is free")
})

func listen(port int) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
}

// Free returns n ports on which nobody listens. They are not given out again before all others of the block were.
func Free(n int) ([]int, error) {
	b, err := own()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []int
	for tries := 0; len(out) < n; tries++ {
		if tries == blockSize {
			return nil, fmt.Errorf("%d ports are not free", n)
		}
		port := b.next
		if b.next++; b.next == b.end {
			b.next = b.end - blockSize + 1
		}
		l, err := listen(port)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
		out = append(out, port)
	}
	return out, nil
}
