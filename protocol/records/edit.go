package records

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/distributedmq/dmq/protocol/compress"
)

// Editor reads the records of a batch and writes the batch anew without some of them, as compaction does: Scan or ScanLegacy,
// then AppendTo. What stays is copied as it is, not built anew. The zero value is ready; its memory is kept from batch to batch.
// It is not safe for concurrent use.
type Editor struct {
	head    [HeaderSize]byte // of the batch that was scanned; ScanLegacy makes one up
	payload []byte           // its records, not compressed: the batch's, or plain
	plain   []byte
	joined  []byte // records on their way into a codec
	runs    []run  // kept records that follow each other
	kept    Kept
	largest int64 // timestamp of the kept records

	group []Keyed // what decide is asked about next
}

// Keyed is a record as compaction sees it.
type Keyed struct {
	Offset    int64
	Key       []byte // nil: the record has none
	Tombstone bool   // the record has no value
	Keep      bool   // whether the record stays: for who decides to set

	timestamp  int64
	start, end int // in the payload
}

// groupSize is how many records are decided about at once: enough for who looks their keys up in a large table to wait for
// memory once for all of them.
const groupSize = 32

// run is a range of positions in the payload.
type run struct{ start, end int }

// Kept says what is left of a batch.
type Kept struct {
	Records    int32
	All        bool // nothing was left out
	Tombstones bool // one of those left has no value
}

// errEdited says that AppendTo was asked to write nothing. Empty batches are AppendEmpty's.
var errEdited = errors.New("none of the batch's records are kept")

// Scan shows the records of a batch to decide, in order, a few at a time, which sets Keep of those that stay. A compressed
// batch is decompressed first, to at most limit bytes (compress.ErrTooLarge). Keys are good during the call only; b must not
// change before AppendTo. Malformed records are an *errcode.Error of KindInvalidRecord. The CRC is not looked at.
func (e *Editor) Scan(b Batch, limit int, decide func(group []Keyed)) (Kept, error) {
	e.begin(b)
	count := b.RecordCount()
	if count <= 0 {
		if count < 0 {
			return Kept{}, errRecordCount
		}
		return e.kept, nil
	}
	e.payload = b.Payload()
	if c := b.Codec(); c != compress.None {
		var err error
		if e.plain, err = compress.Decompress(e.plain[:0], c, e.payload, limit); err != nil {
			return Kept{}, decompressError(err)
		}
		e.payload = e.plain
	}
	base, clock := b.BaseOffset(), b.clock()
	var f fields
	at := 0
	for range count {
		next := quickRecord(e.payload, at, &f)
		if next < 0 {
			var err error
			if next, err = parseRecord(e.payload, at, &f); err != nil {
				return Kept{}, err
			}
		}
		e.group = append(e.group, Keyed{
			Offset: base + int64(f.offsetDelta), Key: slice(e.payload, f.keyAt, f.keySize), Tombstone: f.valueSize < 0,
			timestamp: clock.of(f.timestampDelta), start: at, end: next,
		})
		if len(e.group) == groupSize {
			e.settle(decide)
		}
		at = next
	}
	if at != len(e.payload) {
		return Kept{}, errRecordsLeft
	}
	e.settle(decide)
	return e.kept, nil
}

// settle has the records of the group decided about.
func (e *Editor) settle(decide func(group []Keyed)) {
	decide(e.group)
	for i := range e.group {
		r := &e.group[i]
		if !r.Keep {
			e.kept.All = false
			continue
		}
		if n := len(e.runs); n > 0 && e.runs[n-1].end == r.start {
			e.runs[n-1].end = r.end
		} else {
			e.runs = append(e.runs, run{r.start, r.end})
		}
		e.kept.Records++
		e.kept.Tombstones = e.kept.Tombstones || r.Tombstone
		e.largest = max(e.largest, r.timestamp)
	}
	e.group = e.group[:0]
}

func (e *Editor) begin(b Batch) {
	copy(e.head[:], b)
	e.payload, e.runs, e.group = nil, e.runs[:0], e.group[:0]
	e.kept, e.largest = Kept{All: true}, NoTimestamp
}

// ScanLegacy is Scan for a message of an older format. AppendTo then writes a batch of magic 2, as Kafka's cleaner does: its
// offsets begin and end with those of the kept records, the codec stays, and messages of magic 0 get no timestamp.
func (e *Editor) ScanLegacy(m Legacy, limit int, decide func(group []Keyed)) (Kept, error) {
	e.begin(nil)
	var base, last, baseTimestamp int64
	e.plain = e.plain[:0]
	err := m.Iterate(limit, func(r *Record) error {
		if e.kept.Records == 0 {
			base, baseTimestamp = r.Offset, r.Timestamp
		}
		delta := r.Offset - base
		if delta < 0 || delta > math.MaxInt32 {
			return errRecordField
		}
		start, before := len(e.plain), e.kept.Records
		e.plain = appendRecord(e.plain, r.Timestamp-baseTimestamp, int32(delta), r.Key, r.Value)
		e.group = append(e.group, Keyed{Offset: r.Offset, Key: r.Key, Tombstone: r.Value == nil, timestamp: r.Timestamp, start: start, end: len(e.plain)})
		if e.settle(decide); e.kept.Records > before {
			last = r.Offset
		}
		return nil
	})
	if err != nil {
		return Kept{}, err
	}
	e.payload = e.plain
	h := header{
		baseOffset: base, leaderEpoch: NoLeaderEpoch, flags: uint16(m.Codec()), lastOffsetDelta: int32(last - base), baseTimestamp: baseTimestamp,
		maxTimestamp: e.largest, producerID: NoProducerID, producerEpoch: NoProducerEpoch, baseSequence: NoSequence, count: e.kept.Records,
	}
	if m.TimestampType() == LogAppendTime {
		h.flags |= attrLogAppendTime
	}
	h.put(e.head[:])
	return e.kept, nil
}

// AppendTo appends a batch of the kept records to dst: the header is that of the batch that was scanned, but for the count and
// the largest timestamp. With deleteHorizon, a time in ms, the batch gets that as its delete horizon; with NoTimestamp it
// stays as it is.
func (e *Editor) AppendTo(dst []byte, deleteHorizon int64) ([]byte, error) {
	if e.kept.Records == 0 {
		return dst, errEdited
	}
	start := len(dst)
	dst = append(dst, e.head[:]...)
	codec := Batch(e.head[:]).Codec()
	into := &dst
	if codec != compress.None {
		e.joined = e.joined[:0]
		into = &e.joined
	}
	if deleteHorizon == NoTimestamp {
		for _, r := range e.runs {
			*into = append(*into, e.payload[r.start:r.end]...)
		}
	} else {
		var err error
		if *into, err = e.rebase(*into, deleteHorizon); err != nil {
			return dst[:start], err
		}
	}
	if codec != compress.None {
		var err error
		if dst, err = compress.Compress(dst, codec, compress.DefaultLevel, e.joined); err != nil {
			return dst[:start], err
		}
	}
	if len(dst)-start-LogOverhead > math.MaxInt32 {
		return dst[:start], errBatchSize
	}
	e.finish(Batch(dst[start:]), deleteHorizon)
	return dst, nil
}

// rebase appends the kept records with timestamps relative to base.
func (e *Editor) rebase(dst []byte, base int64) ([]byte, error) {
	clock := Batch(e.head[:]).clock()
	var f fields
	for _, r := range e.runs {
		for at := r.start; at < r.end; {
			next, err := parseRecord(e.payload, at, &f)
			if err != nil {
				return dst, err
			}
			_, body := varint(e.payload, at)             // parseRecord has read it
			_, rest := varlong(e.payload[:next], body+1) // behind the attributes; what follows the timestamp stays
			delta := clock.of(f.timestampDelta) - base
			dst = appendVarint(dst, int32(1+varintSize(delta)+next-rest))
			dst = append(dst, e.payload[body])
			dst = binary.AppendVarint(dst, delta)
			dst = append(dst, e.payload[rest:next]...)
			at = next
		}
	}
	return dst, nil
}

// finish makes the header true.
func (e *Editor) finish(b Batch, deleteHorizon int64) {
	be := binary.BigEndian
	be.PutUint32(b[atLength:], uint32(len(b)-LogOverhead))
	be.PutUint32(b[atRecordCount:], uint32(e.kept.Records))
	if b.TimestampType() == CreateTime {
		be.PutUint64(b[atMaxTimestamp:], uint64(e.largest))
	}
	if deleteHorizon != NoTimestamp {
		be.PutUint16(b[atAttributes:], uint16(b.flags()|attrDeleteHorizon))
		be.PutUint64(b[atBaseTimestamp:], uint64(deleteHorizon))
	}
	b.sealCRC()
}

// AppendEmpty appends a batch to dst that has the offsets, the producer and the sequence of b, and no records: for compaction,
// where the state of a producer rests on b.
func (b Batch) AppendEmpty(dst []byte) []byte {
	h := header{
		baseOffset: b.BaseOffset(), leaderEpoch: b.PartitionLeaderEpoch(), lastOffsetDelta: b.LastOffsetDelta(),
		flags:         uint16(b.flags() & (attrLogAppendTime | attrTransactional | attrControl)),
		baseTimestamp: NoTimestamp, maxTimestamp: b.MaxTimestamp(),
		producerID: b.ProducerID(), producerEpoch: b.ProducerEpoch(), baseSequence: b.BaseSequence(),
	}
	return h.appendTo(dst)
}

// AppendGap appends an empty batch to dst that only says that the log had a record at offset.
func AppendGap(dst []byte, offset int64, leaderEpoch int32) []byte {
	h := header{
		baseOffset: offset, leaderEpoch: leaderEpoch, baseTimestamp: NoTimestamp, maxTimestamp: NoTimestamp,
		producerID: NoProducerID, producerEpoch: NoProducerEpoch, baseSequence: NoSequence,
	}
	return h.appendTo(dst)
}

// header is the header of a batch to write.
type header struct {
	baseOffset                  int64
	leaderEpoch                 int32
	flags                       uint16
	lastOffsetDelta             int32
	baseTimestamp, maxTimestamp int64
	producerID                  int64
	producerEpoch               int16
	baseSequence                int32
	count                       int32
}

func (h *header) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	h.put(dst[start:])
	return dst
}

// put writes the header to b, which is the whole batch, or at least its header: length and CRC are those of b.
func (h *header) put(b Batch) {
	be := binary.BigEndian
	be.PutUint64(b[atBaseOffset:], uint64(h.baseOffset))
	be.PutUint32(b[atLength:], uint32(len(b)-LogOverhead))
	be.PutUint32(b[atLeaderEpoch:], uint32(h.leaderEpoch))
	b[atMagic] = Magic
	be.PutUint16(b[atAttributes:], h.flags)
	be.PutUint32(b[atLastOffsetDelta:], uint32(h.lastOffsetDelta))
	be.PutUint64(b[atBaseTimestamp:], uint64(h.baseTimestamp))
	be.PutUint64(b[atMaxTimestamp:], uint64(h.maxTimestamp))
	be.PutUint64(b[atProducerID:], uint64(h.producerID))
	be.PutUint16(b[atProducerEpoch:], uint16(h.producerEpoch))
	be.PutUint32(b[atBaseSequence:], uint32(h.baseSequence))
	be.PutUint32(b[atRecordCount:], uint32(h.count))
	b.sealCRC()
}
