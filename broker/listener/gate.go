package listener

import (
	"context"
	"math/bits"
	"sync"
)

// The size classes of request buffers: powers of two from 4 KiB to 16 MiB. What is larger is not pooled.
const (
	minClassBits = 12
	maxClassBits = 24
	bigClassBits = 20 // from here on buffers are kept in a list of our own: the runtime empties a sync.Pool at each GC
	classCount   = maxClassBits - minClassBits + 1

	maxKept = 64 << 20 // bytes kept in our own lists
)

// DefaultGateBytes is the size of a gate unless told otherwise.
const DefaultGateBytes = 256 << 20

// Gate bounds the bytes that the requests of all listeners sharing it hold between the socket and the log, and keeps
// their buffers for reuse: fresh memory costs three times the CPU of the whole request.
type Gate struct {
	budget budget
	small  [bigClassBits - minClassBits]sync.Pool // of *buffer

	mu     sync.Mutex // guards the fields below
	big    [maxClassBits - bigClassBits + 1][]*buffer
	kept   int
	poison bool // tests overwrite what is given back
}

// NewGate returns a gate of limit bytes; 0: DefaultGateBytes.
func NewGate(limit int64) *Gate {
	return &Gate{budget: budget{limit: orDefault(limit, DefaultGateBytes)}}
}

// Used is the number of bytes held now.
func (g *Gate) Used() int64 { return g.budget.used.Load() }

// buffer is memory of one size class.
type buffer struct {
	b     []byte // its length is its capacity
	class int    // index of the class; -1: not pooled
	lease int64  // bytes of the budget
}

// classOf is the index of the smallest class that holds n bytes, -1 if there is none.
func classOf(n int) int {
	if n <= 1<<minClassBits {
		return 0
	}
	class := bits.Len(uint(n-1)) - minClassBits
	if class >= classCount {
		return -1
	}
	return class
}

// floorClass is the index of the largest class of at most n bytes, which is at least the smallest.
func floorClass(n int) int { return min(bits.Len(uint(n))-1-minClassBits, classCount-1) }

// try returns a buffer of at least n bytes if the gate has room for it, else nil.
func (g *Gate) try(n int) *buffer {
	_, size := sizeFor(n)
	if !g.budget.take(size) {
		return nil
	}
	return g.leased(size)
}

// wait is try for a holder of held other buffers, which waits for its turn.
func (g *Gate) wait(ctx context.Context, n int, held int64) (*buffer, error) {
	_, size := sizeFor(n)
	if err := g.budget.wait(ctx, size, held); err != nil {
		return nil, err
	}
	return g.leased(size), nil
}

func (g *Gate) leased(size int64) *buffer {
	b := g.fromPool(int(size))
	b.lease = size
	return b
}

func sizeFor(n int) (class int, size int64) {
	if class = classOf(n); class < 0 {
		return class, int64(n)
	}
	return class, 1 << (class + minClassBits)
}

// put gives a buffer back.
func (g *Gate) put(b *buffer) {
	lease := b.lease
	b.lease = 0
	g.toPool(b)
	g.budget.free(lease)
}

// fromPool returns a buffer of at least n bytes without a lease.
func (g *Gate) fromPool(n int) *buffer {
	class, size := sizeFor(n)
	switch {
	case class < 0:
		return &buffer{b: make([]byte, size), class: -1}
	case class < len(g.small):
		if b, ok := g.small[class].Get().(*buffer); ok {
			return b
		}
	default:
		if b := g.takeBig(class - len(g.small)); b != nil {
			return b
		}
	}
	return &buffer{b: make([]byte, size), class: class}
}

func (g *Gate) toPool(b *buffer) {
	if g.poison {
		for i := range b.b {
			b.b[i] = 0xdb
		}
	}
	switch {
	case b.class < 0:
	case b.class < len(g.small):
		g.small[b.class].Put(b)
	default:
		g.keepBig(b)
	}
}

func (g *Gate) takeBig(i int) *buffer {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.big[i])
	if n == 0 {
		return nil
	}
	b := g.big[i][n-1]
	g.big[i] = g.big[i][:n-1]
	g.kept -= len(b.b)
	return b
}

func (g *Gate) keepBig(b *buffer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.kept+len(b.b) > maxKept {
		return
	}
	i := b.class - len(g.small)
	g.big[i] = append(g.big[i], b)
	g.kept += len(b.b)
}

// trim lets go of half of the large buffers, so that a burst is forgotten.
func (g *Gate) trim() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, list := range g.big {
		keep := len(list) / 2
		for j := keep; j < len(list); j++ {
			g.kept -= len(list[j].b)
			list[j] = nil
		}
		g.big[i] = list[:keep]
	}
}
