package listener

// Region is a run of bytes that are sent as they are, such as a slice of a partition's log.
type Region interface {
	// Size is fixed.
	Size() int
	// Bytes is the whole region where it is in memory, else nil.
	Bytes() []byte
	// ReadAt reads from off in the region.
	ReadAt(p []byte, off int64) (int, error)
	// Close is called once, after the region was sent or given up.
	Close() error
}

// Encoded is a hand-encoded response body (without the response header) whose regions are filled in when it is sent:
// the Fetch response. Head holds every byte outside of the regions.
type Encoded struct {
	Head    []byte
	regions []placed
}

type placed struct {
	at     int // in Head
	region Region
}

// NewEncoded returns an empty body; its Head has capacity from an earlier use.
func NewEncoded() *Encoded { return &Encoded{} }

// AddRegion places r behind what Head holds now and takes it over: the listener closes it.
func (e *Encoded) AddRegion(r Region) { e.regions = append(e.regions, placed{len(e.Head), r}) }

// Size is the number of bytes of the body.
func (e *Encoded) Size() int {
	n := len(e.Head)
	for _, p := range e.regions {
		n += p.region.Size()
	}
	return n
}

// Discard closes the regions of a response that is not going to be sent.
func (e *Encoded) Discard() { panic("not built yet") }

// AppendTo appends the whole body with its regions: for tests and for answers that are kept.
func (e *Encoded) AppendTo(dst []byte) ([]byte, error) { panic("not built yet") }
