package listener

import (
	"fmt"
	"slices"
	"sync"
)

// Region is a run of bytes that are sent as they are, such as a slice of a partition's log.
type Region interface {
	// Size is fixed.
	Size() int
	// Bytes is the whole region where it is in memory, else nil.
	Bytes() []byte
	// ReadAt reads from off in the region, as io.ReaderAt.
	ReadAt(p []byte, off int64) (int, error)
	// Close is called once, after the region was sent or given up.
	Close() error
}

// Encoded is a hand-encoded response body (without the response header) whose regions are filled in when it is sent:
// the Fetch response. Head holds every byte outside of the regions.
type Encoded struct {
	Head    []byte
	regions []placed
	pool    *EncodedPool // where it goes when it has been sent; nil: nowhere
}

// EncodedPool keeps the memory of bodies that were sent for those to come. The zero value is ready, nil keeps none.
type EncodedPool struct{ pool sync.Pool }

// What is larger is not kept.
const (
	pooledHead    = 64 << 10
	pooledRegions = 1 << 10
)

// Get returns an empty body, which is used again once it has been sent or given up.
func (p *EncodedPool) Get() *Encoded {
	if p == nil {
		return NewEncoded()
	}
	if e, ok := p.pool.Get().(*Encoded); ok {
		return e
	}
	return &Encoded{pool: p}
}

// recycle ends the use of a body that was discarded.
func (e *Encoded) recycle() {
	if e.pool != nil && cap(e.Head) <= pooledHead && cap(e.regions) <= pooledRegions {
		e.Head = e.Head[:0]
		e.pool.pool.Put(e)
	}
}

type placed struct {
	at     int // where in Head
	region Region
}

// NewEncoded returns an empty body.
func NewEncoded() *Encoded { return &Encoded{} }

// Grow makes room for head more bytes of Head and regions more regions.
func (e *Encoded) Grow(head, regions int) {
	e.Head = slices.Grow(e.Head, head)
	e.regions = slices.Grow(e.regions, regions)
}

// AddRegion places r behind what Head holds now and takes it over: the listener closes it.
func (e *Encoded) AddRegion(r Region) { e.regions = append(e.regions, placed{len(e.Head), r}) }

// Size is the number of bytes of the body.
func (e *Encoded) Size() int {
	n := len(e.Head)
	for i := range e.regions {
		n += e.regions[i].region.Size()
	}
	return n
}

// Discard closes the regions. The listener does it for what is returned from Serve or given to Complete.
func (e *Encoded) Discard() {
	for i := range e.regions {
		_ = e.regions[i].region.Close() // it was only read
	}
	clear(e.regions)
	e.regions = e.regions[:0]
}

// AppendTo appends the whole body with its regions, which stay open.
func (e *Encoded) AppendTo(dst []byte) ([]byte, error) {
	from := 0
	for i := range e.regions {
		p := &e.regions[i]
		dst = append(dst, e.Head[from:p.at]...)
		from = p.at
		n, size := len(dst), p.region.Size()
		dst = append(dst, make([]byte, size)...)
		if err := readRegion(p.region, dst[n:], 0); err != nil {
			return dst[:n], err
		}
	}
	return append(dst, e.Head[from:]...), nil
}

// readRegion fills p from off in the region.
func readRegion(r Region, p []byte, off int) error {
	if b := r.Bytes(); b != nil {
		copy(p, b[off:])
		return nil
	}
	for done := 0; done < len(p); {
		n, err := r.ReadAt(p[done:], int64(off+done))
		done += n
		if done < len(p) && (err != nil || n == 0) {
			return fmt.Errorf("read %d bytes at %d of a region of %d: got %d: %w", len(p), off, r.Size(), done, errOr(err))
		}
	}
	return nil
}
