package segment_test

import (
	"errors"
	"testing"

	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

// FuzzSegmentRecover recovers a segment of any bytes: nothing before the first bad batch is lost, nothing from it on is kept,
// except that a batch whose offset jumped ahead of the one behind it is bad, too.
func FuzzSegmentRecover(f *testing.F) {
	var good []byte
	for i := range 6 {
		good = append(good, batch(f, int64(2*i), stamp(i), 2, 30)...)
	}
	f.Add(good, uint16(0))
	f.Add(good[:len(good)-5], uint16(0))
	f.Add(append(append([]byte(nil), good...), make([]byte, 100)...), uint16(300))
	flipped := append([]byte(nil), good...)
	flipped[len(good)/2] ^= 1
	f.Add(flipped, uint16(1000))
	f.Add([]byte{}, uint16(7))
	f.Fuzz(func(t *testing.T, data []byte, whole uint16) {
		mem := newMem(t)
		prefix := good[:int(whole)%(len(good)+1)]
		content := append(append([]byte(nil), prefix...), data...)
		if err := vfs.WriteFileAtomic(mem, path(0, segment.LogSuffix), content); err != nil {
			t.Fatal(err)
		}
		s := reopen(t, mem, 0, 1<<62)
		defer s.Close()
		var seen int64
		res, err := s.Recover(func(b *segment.Batch) error {
			if b.BaseOffset < seen {
				t.Fatalf("batch at offset %d after %d", b.BaseOffset, seen)
			}
			seen = b.NextOffset()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		size, next := valid(content, 0)
		jumped := res.Bad != nil && errors.Is(res.Bad, segment.ErrJumped)
		if !jumped && (res.Size != int64(size) || res.NextOffset != next) || jumped && res.Size >= int64(size) {
			t.Fatalf("got %+v, want %d bytes up to offset %d", res, size, next)
		}
		if (res.Bad == nil) != (res.Size == int64(len(content))) {
			t.Fatalf("%d of %d bytes are valid and the fault is %v", res.Size, len(content), res.Bad)
		}
		if err := s.CutAt(res.Size, res.NextOffset); err != nil {
			t.Fatal(err)
		}
		if err := s.Activate(res.NextOffset); err != nil {
			t.Fatal(err)
		}
		if res.NextOffset < 1<<20 { // every offset is looked up
			checkFinds(t, mem, s)
		}
		if _, err := s.FindValid(0, 0); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzIndexOpen opens a sound segment whose indexes are any bytes: every look-up gives what it would without an index.
func FuzzIndexOpen(f *testing.F) {
	source := newMem(f)
	s := fill(f, source, 0, 40)
	if err := s.BecomeInactive(); err != nil {
		f.Fatal(err)
	}
	read := func(suffix string) []byte {
		b, err := vfs.ReadFile(source, path(0, suffix))
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	log, index, times := read(segment.LogSuffix), read(segment.IndexSuffix), read(segment.TimeIndexSuffix)
	f.Add(index, times, []byte{})
	f.Add(index[:len(index)-3], times, []byte{1})
	f.Add(append(append([]byte(nil), index...), make([]byte, 80)...), append(append([]byte(nil), times...), make([]byte, 120)...), []byte{})
	f.Add(make([]byte, 800), make([]byte, 1200), make([]byte, 34))
	f.Add(times, index, index)
	f.Fuzz(func(t *testing.T, index, times, txns []byte) {
		mem := newMem(t)
		for _, file := range []struct {
			suffix string
			data   []byte
		}{{segment.LogSuffix, log}, {segment.IndexSuffix, index}, {segment.TimeIndexSuffix, times}, {segment.TxnIndexSuffix, txns}} {
			if err := vfs.WriteFileAtomic(mem, path(0, file.suffix), file.data); err != nil {
				t.Fatal(err)
			}
		}
		s := reopen(t, mem, 0, 80)
		defer s.Close()
		checkFinds(t, mem, s)
		for ts := int64(990); ts < 1700; ts += 7 {
			if _, _, err := s.FindTimestamp(ts, 0); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := s.FindMaxTimestamp(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CheckTxnIndex(); err != nil {
			t.Fatal(err)
		}
		var corrupt *segment.CorruptError
		if _, err := s.AbortedTxns(0, 80, func(segment.AbortedTxn) {}); err != nil && !errors.As(err, &corrupt) {
			t.Fatal(err)
		}
		if end, err := s.LoadEnd(); err != nil || end != 80 {
			t.Fatalf("the segment ends at %d, %v, want 80", end, err)
		}
	})
}

// FuzzVerifier cuts batches, one of them damaged, into pieces: the damage is found whatever the pieces.
func FuzzVerifier(f *testing.F) {
	var good []byte
	for i := range 4 {
		good = append(good, batch(f, int64(i), 0, 1, 200*i)...)
	}
	f.Add(uint16(500), uint16(7))
	f.Add(uint16(20), uint16(1))
	f.Add(uint16(9), uint16(100))
	f.Fuzz(func(t *testing.T, flip, piece uint16) {
		data := append([]byte(nil), good...)
		at := int(flip) % len(data)
		data[at] ^= 0x20
		v := segment.Verifier{Size: int64(len(data))}
		var fault error
		var where int64
		for off := 0; off < len(data) && fault == nil; {
			n := min(1+int(piece), len(data)-off)
			where, fault = v.Next(data[off:off+n], int64(off))
			off += n
		}
		first, sound := firstDamaged(data)
		if sound { // base offset and leader epoch are outside the CRC
			if fault != nil {
				t.Fatalf("found %v at %d in sound batches", fault, where)
			}
			return
		}
		if fault == nil || where != first {
			t.Fatalf("byte %d was changed: found %v at %d, want the batch at %d", at, fault, where, first)
		}
	})
}

func firstDamaged(data []byte) (position int64, sound bool) {
	for rest := data; len(rest) > 0; {
		b, next, err := records.Split(rest)
		if errors.Is(err, records.ErrLegacy) {
			return position, false
		}
		if err != nil || b.VerifyCRC() != nil {
			return position, false
		}
		position, rest = position+int64(len(b)), next
	}
	return position, true
}
