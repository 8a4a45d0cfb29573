package records

import (
	"fmt"

	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// ValidateOptions say what a leader asks of a batch before it appends it.
type ValidateOptions struct {
	Now                  int64         // wall clock in ms
	TimestampType        TimestampType // of the topic
	TimestampBeforeMaxMs int64         // how much older than Now a CreateTime may be
	TimestampAfterMaxMs  int64         // how much newer

	Compacted      bool           // every record needs a key
	TargetProducer bool           // keep the producer's codec: compression.type=producer
	TargetCodec    compress.Codec // otherwise compress with this one where the producer did not
	Level          int            // of TargetCodec; 0 means compress.DefaultLevel

	MaxMessageBytes int32 // largest batch as stored
	MaxDecompressed int   // most that may come out of a compressed batch; 0 means MaxDecompressed(MaxMessageBytes)

	AllowControl bool // the broker's own batches: control records, any base offset, no producer rules
	FromLeader   bool // replicated: only structure and CRC are checked, nothing is changed
}

// ValidateResult is what came of it. Batch is the same memory, with its maximum timestamp made true, or a rewritten batch.
type ValidateResult struct {
	Batch                Batch
	MaxTimestamp         int64
	OffsetOfMaxTimestamp int64 // of the first record that has it, as a delta from the base offset
	Rewritten            bool
}

// RecordError is what is wrong with one record.
type RecordError struct {
	Index int32
	Msg   string
}

// RecordErrors rejects a batch because of its records: KindInvalidRecord, or KindInvalidTimestamp as soon as one record has a
// bad timestamp. Produce v8+ lists the records.
type RecordErrors struct { //nolint:errname // several errors
	Kind    errcode.Kind
	Msg     string
	Records []RecordError // at most maxRecordErrors of them
}

// maxRecordErrors bounds what a batch of a million tiny bad records makes of itself in memory and in the response.
const maxRecordErrors = 4096

// Error returns the message for the client.
func (e *RecordErrors) Error() string { return e.Msg }

// ErrorKind makes it an errcode.Kinder.
func (e *RecordErrors) ErrorKind() errcode.Kind { return e.Kind }

// MaxDecompressed is the default cap on decompressed records: ten times the largest batch, between 1 MiB and 100 MiB, and
// never below the largest batch itself.
func MaxDecompressed(maxMessageBytes int32) int {
	const times, floor, ceiling = 10, 1 << 20, 100 << 20
	return max(min(times*int(maxMessageBytes), ceiling), floor, int(maxMessageBytes))
}

// Validate checks a batch as Kafka's log does before the leader appends it, in Kafka's order: base offset, size, CRC, then
// header against records, then each record (UnifiedLog.analyzeAndValidateRecords, LogValidator). It also makes the maximum
// timestamp true in place, or rewrites the batch where the codec is not the topic's or the records' offset deltas are not
// 0, 1, 2 and so on. Base offset and leader epoch are left to the caller, who knows them later.
//
// Stricter than Kafka in two points: wrong offset deltas are put right in uncompressed batches too, and the length of
// compressed records must be true.
//
// Errors carry their errcode.Kind; *RecordErrors tells which records are at fault. A valid batch that is not rewritten costs no
// allocation.
func Validate(b Batch, o ValidateOptions) (ValidateResult, error) {
	if err := checkBatch(b, &o); err != nil {
		return ValidateResult{}, err
	}
	if o.FromLeader {
		return ValidateResult{Batch: b, MaxTimestamp: b.MaxTimestamp()}, nil
	}
	v := validation{o: o, clock: b.clock(), maxTimestamp: NoTimestamp, sequential: true}
	if o.TimestampType == CreateTime {
		v.clock.logAppend = false // as it will be stored; Kafka lets such a batch pass, too
	}
	if err := v.records(b); err != nil {
		return ValidateResult{}, err
	}
	if v.rewrite(b) {
		return v.rewritten(b)
	}
	res := ValidateResult{Batch: b, MaxTimestamp: v.maxTimestamp, OffsetOfMaxTimestamp: v.maxTimestampAt}
	if o.TimestampType == LogAppendTime {
		res.MaxTimestamp, res.OffsetOfMaxTimestamp = o.Now, 0
	}
	b.setMaxTimestamp(o.TimestampType, res.MaxTimestamp)
	return res, nil
}

// checkBatch looks at the header and the CRC.
func checkBatch(b Batch, o *ValidateOptions) error {
	if len(b) < HeaderSize {
		return errcode.New(errcode.KindCorruptMessage, "record batch of %d bytes is smaller than its header", len(b))
	}
	client := !o.AllowControl && !o.FromLeader
	if client && b.BaseOffset() != 0 {
		return errcode.New(errcode.KindInvalidRecord, "base offset of a produced record batch is %d and must be 0", b.BaseOffset())
	}
	if !o.FromLeader {
		if err := checkSize(b, o); err != nil {
			return err
		}
	}
	if err := b.VerifyCRC(); err != nil {
		return err
	}
	if c := b.Codec(); !c.Valid() {
		return errcode.New(errcode.KindUnsupportedCompressionType, "record batch has unknown compression codec %d", int8(c))
	}
	if client {
		return checkProduced(b)
	}
	return nil
}

func checkSize(b Batch, o *ValidateOptions) error {
	if len(b) > int(o.MaxMessageBytes) {
		return errcode.New(errcode.KindMessageTooLarge, "record batch of %d bytes is larger than max.message.bytes %d", len(b), o.MaxMessageBytes)
	}
	return nil
}

// checkProduced holds what only clients must keep to.
func checkProduced(b Batch) error {
	span, count := int64(b.LastOffsetDelta())+1, int64(b.RecordCount())
	switch {
	case span <= 0:
		return errcode.New(errcode.KindInvalidRecord, "record batch has an invalid offset range [0, %d]", span-1)
	case count <= 0:
		return errcode.New(errcode.KindInvalidRecord, "record batch has an invalid record count %d", count)
	case span != count:
		return errcode.New(errcode.KindInvalidRecord, "record batch has offsets [0, %d] but %d records", span-1, count)
	case b.IsControl():
		return errcode.New(errcode.KindInvalidRecord, "clients may not write control records")
	case b.HasProducerID() && b.BaseSequence() < 0:
		return errcode.New(errcode.KindInvalidRecord, "record batch of producer %d has invalid sequence %d", b.ProducerID(), b.BaseSequence())
	}
	return nil
}

// validation is the walk over one batch's records.
type validation struct {
	o              ValidateOptions
	clock          clock
	maxTimestamp   int64
	maxTimestampAt int64
	sequential     bool // offset deltas are 0, 1, 2...
	errs           *RecordErrors
	errCount       int
}

// records walks all records and returns the first malformation or all record errors.
func (v *validation) records(b Batch) error {
	count := b.RecordCount()
	switch {
	case count < 0:
		return errRecordCount
	case count == 0: // only the broker's own: nothing in it is looked at
		return nil
	}
	var err error
	if b.Codec() == compress.None {
		err = v.plain(b, count)
	} else {
		err = v.compressed(b, count)
	}
	if err != nil {
		return err
	}
	if v.errs != nil {
		v.errs.finish(v.errCount)
		return v.errs
	}
	return nil
}

func (v *validation) plain(b Batch, count int32) error {
	payload := b.Payload()
	var f fields
	at := 0
	for i := range count {
		next := quickRecord(payload, at, &f)
		if next < 0 {
			var err error
			if next, err = parseRecord(payload, at, &f); err != nil {
				return err
			}
		}
		at = next
		v.record(i, &f)
	}
	if at != len(payload) {
		return errRecordsLeft
	}
	return nil
}

func (v *validation) compressed(b Batch, count int32) error {
	w, err := newWalker(b.Codec(), b.Payload(), v.limit())
	if err != nil {
		return decompressError(err)
	}
	defer w.close()
	var f fields
	for i := range count {
		if err := w.next(&f); err != nil {
			return err
		}
		v.record(i, &f)
	}
	return w.finish()
}

func (v *validation) limit() int {
	if v.o.MaxDecompressed > 0 {
		return v.o.MaxDecompressed
	}
	return MaxDecompressed(v.o.MaxMessageBytes)
}

// record checks one record. Kafka's rules: the first fault of a record counts, keys before timestamps.
func (v *validation) record(i int32, f *fields) {
	if f.offsetDelta != i {
		v.sequential = false
	}
	ts := v.clock.of(f.timestampDelta)
	if v.o.Compacted && f.keySize < 0 {
		v.fail(i, errcode.KindInvalidRecord, "a record of a compacted topic must have a key")
		return
	}
	if v.o.TimestampType == CreateTime && ts != NoTimestamp {
		// The subtraction may wrap, as it does in Kafka: then one of the two comparisons catches it.
		if age := v.o.Now - ts; age > v.o.TimestampBeforeMaxMs || -age > v.o.TimestampAfterMaxMs {
			v.fail(i, errcode.KindInvalidTimestamp, fmt.Sprintf("timestamp %d is outside the topic's window [%d, %d]",
				ts, v.o.Now-v.o.TimestampBeforeMaxMs, v.o.Now+v.o.TimestampAfterMaxMs))
			return
		}
	} else if v.clock.logAppend {
		v.fail(i, errcode.KindInvalidTimestamp, "a producer may not set the timestamp type to LogAppendTime")
		return
	}
	if ts > v.maxTimestamp {
		v.maxTimestamp, v.maxTimestampAt = ts, int64(i)
	}
}

func (v *validation) fail(i int32, kind errcode.Kind, msg string) {
	if v.errs == nil {
		v.errs = &RecordErrors{Kind: kind}
	}
	if kind == errcode.KindInvalidTimestamp {
		v.errs.Kind = kind
	}
	v.errCount++
	if len(v.errs.Records) < maxRecordErrors {
		v.errs.Records = append(v.errs.Records, RecordError{Index: i, Msg: msg})
	}
}

// finish writes the message for the whole batch.
func (e *RecordErrors) finish(count int) {
	if e.Kind == errcode.KindInvalidTimestamp {
		e.Msg = "one or more records were rejected because of their timestamp"
		return
	}
	first := e.Records[0]
	e.Msg = fmt.Sprintf("%d records were rejected, the first at index %d: %s", count, first.Index, first.Msg)
}

func (v *validation) target(b Batch) compress.Codec {
	if v.o.TargetProducer {
		return b.Codec()
	}
	return v.o.TargetCodec
}

// rewrite reports whether the batch cannot stay as it is. Control records are never compressed, nor is nothing at all.
func (v *validation) rewrite(b Batch) bool {
	if b.RecordCount() == 0 || b.IsControl() && b.Codec() == compress.None {
		return false
	}
	return v.target(b) != b.Codec() || !v.sequential && !v.o.AllowControl
}

// rewritten builds the batch anew with the target codec and sequential offsets.
func (v *validation) rewritten(b Batch) (ValidateResult, error) {
	bld := NewBuilder(BuilderOptions{
		PartitionLeaderEpoch: b.PartitionLeaderEpoch(),
		Codec:                v.target(b),
		Level:                v.o.Level,
		TimestampType:        v.o.TimestampType,
		LogAppendTime:        v.o.Now,
		HasProducer:          b.HasProducerID(),
		ProducerID:           b.ProducerID(),
		ProducerEpoch:        b.ProducerEpoch(),
		BaseSequence:         b.BaseSequence(),
		Transactional:        b.IsTransactional(),
		Control:              b.IsControl(),
	})
	err := b.Iterate(v.limit(), func(r *Record) error {
		bld.Append(r.Timestamp, r.Key, r.Value, r.Headers...)
		return nil
	})
	if err != nil {
		return ValidateResult{}, err
	}
	out, err := bld.Bytes()
	if err != nil {
		return ValidateResult{}, err
	}
	if err := checkSize(out, &v.o); err != nil {
		return ValidateResult{}, err
	}
	res := ValidateResult{Batch: out, MaxTimestamp: out.MaxTimestamp(), OffsetOfMaxTimestamp: v.maxTimestampAt, Rewritten: true}
	if v.o.TimestampType == LogAppendTime || b.TimestampType() == LogAppendTime {
		res.OffsetOfMaxTimestamp = 0 // all are the same
	}
	return res, nil
}
