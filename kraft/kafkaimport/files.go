package kafkaimport

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/distributedmq/dmq/protocol/records"
)

// file is a checkpoint or segment. Offset is where a segment begins, or where a checkpoint ends.
type file struct {
	name   string
	offset int64
	epoch  int64 // of a checkpoint
}

type listing struct {
	checkpoints []file // newest first
	segments    []file // in order
}

// list finds Kafka's files; what is being written or deleted has another ending.
func list(dir fs.FS) (listing, error) {
	entries, err := fs.ReadDir(dir, ".")
	if errors.Is(err, fs.ErrNotExist) {
		return listing{}, nil
	}
	if err != nil {
		return listing{}, err
	}
	var l listing
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name(), ".checkpoint"); ok {
			offset, epoch, ok := strings.Cut(base, "-")
			if f := (file{name: e.Name()}); ok && number(offset, &f.offset) && number(epoch, &f.epoch) {
				l.checkpoints = append(l.checkpoints, f)
			}
		}
		if base, ok := strings.CutSuffix(e.Name(), ".log"); ok {
			if f := (file{name: e.Name()}); number(base, &f.offset) {
				l.segments = append(l.segments, f)
			}
		}
	}
	slices.SortFunc(l.checkpoints, func(a, b file) int { return cmp.Or(cmp.Compare(b.epoch, a.epoch), cmp.Compare(b.offset, a.offset)) })
	slices.SortFunc(l.segments, func(a, b file) int { return cmp.Compare(a.offset, b.offset) })
	return l, nil
}

func number(s string, to *int64) bool {
	v, err := strconv.ParseUint(s, 10, 63)
	*to = int64(v)
	return err == nil
}

// readCheckpoint reads the newest checkpoint that is whole. Without one it returns the state of a log that begins at 0.
func readCheckpoint(dir fs.FS, l listing, res *Result) (*state, error) {
	var faults []error
	for _, f := range l.checkpoints {
		s, err := readOne(dir, f)
		if err == nil {
			res.Checkpoint = f.name
			return s, nil
		}
		faults = append(faults, fmt.Errorf("checkpoint %s: %w", f.name, err))
		res.Damaged = append(res.Damaged, f.name)
	}
	if len(faults) > 0 && (len(l.segments) == 0 || l.segments[0].offset > 0) {
		return nil, errors.Join(faults...)
	}
	return newState(), nil
}

func readOne(dir fs.FS, f file) (*state, error) {
	data, err := fs.ReadFile(dir, f.name)
	if err != nil {
		return nil, err
	}
	s := newState()
	footer := false
	for rest := data; len(rest) > 0; {
		var batch records.Batch
		if batch, rest, err = split(rest); err != nil {
			return nil, fmt.Errorf("at byte %d: %w", len(data)-len(rest), err)
		}
		if footer {
			return nil, errors.New("records after the footer")
		}
		if batch.IsControl() {
			footer, err = isFooter(batch)
		} else {
			err = s.addBatch(batch, 0)
		}
		if err != nil {
			return nil, fmt.Errorf("batch at offset %d: %w", batch.BaseOffset(), err)
		}
	}
	if !footer {
		return nil, errors.New("it has no footer: it was not written to the end")
	}
	if s.open {
		return nil, errors.New("it ends within a metadata transaction")
	}
	s.next = f.offset
	return s, nil
}

// split takes a batch off the front of b and checks it.
func split(b []byte) (batch records.Batch, rest []byte, err error) {
	batch, rest, err = records.Split(b)
	if err == nil {
		err = batch.VerifyCRC()
	}
	if err != nil {
		return nil, b, err
	}
	return batch, rest, nil
}

// snapshotFooter is the type of the control record that ends a checkpoint.
const snapshotFooter = 4

func isFooter(batch records.Batch) (bool, error) {
	footer := false
	err := batch.Iterate(maxBatch, func(r *records.Record) error {
		if len(r.Key) >= 4 && binary.BigEndian.Uint16(r.Key[2:]) == snapshotFooter {
			footer = true
		}
		return nil
	})
	return footer, err
}

// maxBatch bounds a decompressed batch; Kafka's controller writes at most 8 MiB, uncompressed.
const maxBatch = 64 << 20

// addBatch takes the records at and above an offset.
func (s *state) addBatch(batch records.Batch, from int64) error {
	return batch.Iterate(maxBatch, func(r *records.Record) error {
		if r.Offset < from {
			return nil
		}
		decoded, err := decodeRecord(r.Value)
		if err == nil {
			err = s.add(decoded)
		}
		if err != nil {
			return fmt.Errorf("record at offset %d: %w", r.Offset, err)
		}
		return nil
	})
}

// readLog reads the log from where the checkpoint ends.
func (s *state) readLog(dir fs.FS, segments []file, res *Result) error {
	for i, f := range segments {
		last := i == len(segments)-1
		if !last && segments[i+1].offset <= s.next {
			continue // the checkpoint covers all of it
		}
		if f.offset > s.next {
			return fmt.Errorf("the log continues at %d, but what comes before ends at %d: records are missing", f.offset, s.next)
		}
		data, err := fs.ReadFile(dir, f.name)
		if err != nil {
			return err
		}
		if err := s.readSegment(f, data, last, res); err != nil {
			return fmt.Errorf("segment %s: %w", f.name, err)
		}
	}
	return nil
}

func (s *state) readSegment(f file, data []byte, last bool, res *Result) error {
	expected := f.offset
	for rest := data; len(rest) > 0; {
		position := len(data) - len(rest)
		batch, after, err := split(rest)
		if err != nil {
			if last && !goesOn(rest) {
				res.Torn = fmt.Sprintf("%s at byte %d of %d: %v", f.name, position, len(data), err)
				return nil
			}
			return fmt.Errorf("at byte %d of %d: %w", position, len(data), err)
		}
		if batch.BaseOffset() < expected || batch.BaseOffset() > expected && position > 0 {
			return fmt.Errorf("at byte %d: offset %d follows %d", position, batch.BaseOffset(), expected-1)
		}
		expected = batch.NextOffset()
		if expected > s.next {
			if !batch.IsControl() {
				if err := s.addBatch(batch, s.next); err != nil {
					return err
				}
			}
			s.next = expected
		}
		rest = after
	}
	return nil
}

// goesOn reports whether a bad batch is followed by a good one: then it is damage, not the torn end of a log.
func goesOn(b []byte) bool {
	_, rest, err := records.Split(b)
	if err != nil || len(rest) == 0 {
		return false
	}
	_, _, err = split(rest)
	return err == nil
}
