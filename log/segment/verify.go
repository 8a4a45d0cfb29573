package segment

import (
	"github.com/distributedmq/dmq/protocol/records"
)

// Verifier checks the CRCs of whole batches that pass by in pieces. A batch begins with the first piece, and the last one
// ends after Size bytes. Who does not read in order is not checked from there on.
type Verifier struct {
	Size int64

	off   int64 // where the next piece has to begin
	lost  bool  // a piece was left out, or a batch was bad
	begin int64 // of the current batch
	end   int64 // of the current batch; begin while its header is not complete
	have  int64 // bytes of the current batch that have come by; 0 again when it is complete

	header [minHeader]byte // collects the header where it comes in pieces
	sum    checksum
	stored uint32
}

// Next takes the piece p that begins off bytes after the beginning. It returns where the first bad batch begins and what is
// wrong with it. Nothing is checked after that.
func (v *Verifier) Next(p []byte, off int64) (at int64, fault error) {
	if v.lost || off != v.off {
		v.lost = true
		return 0, nil
	}
	v.off += int64(len(p))
	for len(p) > 0 {
		if v.end == v.begin {
			var err error
			if p, err = v.startBatch(p); err != nil {
				v.lost = true
				return v.begin, err
			}
			if v.end == v.begin {
				return 0, nil
			}
		}
		p = v.feed(p)
		if v.have == 0 && v.sum.value != v.stored {
			v.lost = true
			return v.begin, errCRC
		}
		if v.have == 0 {
			v.begin = v.end
		}
	}
	return 0, nil
}

// minHeader is what is needed to know size, format and checksum of any batch.
const minHeader = 26

// startBatch reads the header of the next batch, and returns what is left of p behind it.
func (v *Verifier) startBatch(p []byte) ([]byte, error) {
	n := copy(v.header[v.have:], p)
	v.have += int64(n)
	p = p[n:]
	if v.have < minHeader {
		return nil, nil
	}
	head := v.header[:]
	size, err := records.SizeOf(head)
	if err != nil {
		return nil, err
	}
	if int64(size) > v.Size-v.begin {
		return nil, errTorn
	}
	v.sum, v.stored = newChecksum(head)
	v.end = v.begin + int64(size)
	v.sum.add(head[v.sum.from:])
	return p, nil
}

// feed adds what belongs to the current batch to its checksum and returns the rest. have is 0 when the batch is complete.
func (v *Verifier) feed(p []byte) []byte {
	n := min(v.end-v.begin-v.have, int64(len(p)))
	v.sum.add(p[:n])
	v.have += n
	if v.have == v.end-v.begin {
		v.have = 0
	}
	return p[n:]
}
