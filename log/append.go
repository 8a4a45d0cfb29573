package log

import (
	"errors"

	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// Origin says who appends, and so how far batches are checked.
type Origin uint8

const (
	// FromClient is a produce request: everything is checked.
	FromClient Origin = iota
	// FromCoordinator is a coordinator of this broker: control batches are allowed, sequences are not checked.
	FromCoordinator
)

// producer is the origin in the words of producerstate.
func (o Origin) producer() producerstate.Origin {
	if o == FromCoordinator {
		return producerstate.OriginCoordinator
	}
	return producerstate.OriginClient
}

// AppendInfo says where batches went.
type AppendInfo struct {
	FirstOffset    int64
	LastOffset     int64
	LogAppendTime  int64 // -1: the records keep their own time
	LogStartOffset int64
	Duplicate      bool // a retry: the offsets are those of the original, which may not be synced yet
	RecordErrors   *records.RecordErrors
}

func noInfo(logStart int64) AppendInfo {
	return AppendInfo{FirstOffset: noOffset, LastOffset: noOffset, LogAppendTime: records.NoTimestamp, LogStartOffset: logStart}
}

// AppendAsLeader checks exactly one batch, gives its records the next offsets and the leader epoch, in place, and
// writes it. It returns when the batch is written; that it is durable is told by SyncedEndOffset. b may be reused then.
//
// Checks are made in Kafka's order (UnifiedLog.append, LogValidator): framing, size, CRC, records, compression, leader epoch,
// segment size, duplicate, producer epoch and sequence.
func (l *Log) AppendAsLeader(b []byte, leaderEpoch int32, origin Origin) (AppendInfo, error) {
	r, info, err := l.prepare(b, leaderEpoch, origin)
	if err != nil {
		return info, err
	}
	defer l.o.Syncer.release(r)
	l.submit(r)
	return r.info, r.err
}

// LeaderAppend is one of several appends: its batch, and what AppendAsLeader would return for it.
type LeaderAppend struct {
	Batch []byte
	Info  AppendInfo
	Err   error
}

// AppendAllAsLeader does what AppendAsLeader does for each, one after the other, and writes those that lie side by side
// with one system call. That one fails does not keep the others from being appended; one that has an Err already is left
// out.
func (l *Log) AppendAllAsLeader(appends []LeaderAppend, leaderEpoch int32, origin Origin) {
	var room [16]*request
	requests := room[:0]
	for i := range appends {
		a := &appends[i]
		if a.Err != nil {
			continue
		}
		var r *request
		if r, a.Info, a.Err = l.prepare(a.Batch, leaderEpoch, origin); a.Err == nil {
			r.several = a
			requests = append(requests, r)
		}
	}
	l.submit(requests...)
	for _, r := range requests {
		r.several.Info, r.several.Err = r.info, r.err
		l.o.Syncer.release(r)
	}
}

// prepare checks all that can be checked outside of the append lock.
func (l *Log) prepare(b []byte, leaderEpoch int32, origin Origin) (*request, AppendInfo, error) {
	info := noInfo(l.LogStartOffset())
	if err := l.admit(); err != nil {
		return nil, info, err
	}
	cfg := l.config.Load()
	batch, err := onlyBatch(b)
	if err != nil {
		return nil, info, err
	}
	o := l.validateOptions(cfg, origin)
	res, err := records.Validate(batch, o)
	if err != nil {
		info.RecordErrors, _ = errors.AsType[*records.RecordErrors](err)
		return nil, info, err
	}
	if len(res.Batch) > int(cfg.SegmentBytes) {
		return nil, info, errcode.New(errcode.KindRecordListTooLarge,
			"record batch of %d bytes is larger than segment.bytes %d", len(res.Batch), cfg.SegmentBytes)
	}
	r := l.o.Syncer.request()
	r.batch, r.leaderEpoch, r.origin, r.info = res.Batch, leaderEpoch, origin, info
	if cfg.LogAppendTime {
		r.info.LogAppendTime = o.Now
	}
	return r, info, nil
}

// admit returns why nothing may be appended now.
func (l *Log) admit() error {
	if err := l.usable(); err != nil || l.o.Admit == nil {
		return err
	}
	return l.o.Admit()
}

func (l *Log) validateOptions(cfg *Config, origin Origin) records.ValidateOptions {
	o := records.ValidateOptions{
		Now:                  l.nowMs(),
		TimestampBeforeMaxMs: cfg.TimestampBeforeMaxMs,
		TimestampAfterMaxMs:  cfg.TimestampAfterMaxMs,
		Compacted:            cfg.CleanupCompact,
		TargetProducer:       cfg.CompressionProducer,
		TargetCodec:          cfg.Compression,
		Level:                cfg.CompressionLevel,
		MaxMessageBytes:      cfg.MaxMessageBytes,
		AllowControl:         origin == FromCoordinator,
	}
	if cfg.LogAppendTime {
		o.TimestampType = records.LogAppendTime
	}
	return o
}

// onlyBatch cuts out the one batch that an append to a leader consists of. As in Kafka an incomplete batch at the end does
// not count.
func onlyBatch(b []byte) (records.Batch, error) {
	batch, rest, err := records.Split(b)
	switch {
	case errors.Is(err, records.ErrShort):
		return nil, errcode.New(errcode.KindInvalidRecord, "there is no record batch in %d bytes", len(b))
	case errors.Is(err, records.ErrLegacy):
		return nil, errcode.New(errcode.KindInvalidRecord, "records have a format older than version 2")
	case err != nil:
		return nil, err
	}
	switch _, _, err := records.Split(rest); {
	case err == nil, errors.Is(err, records.ErrLegacy):
		return nil, errcode.New(errcode.KindInvalidRecord, "there is more than one record batch")
	case !errors.Is(err, records.ErrShort):
		return nil, err
	}
	return batch, nil
}

// AppendAsFollower writes batches as the leader of leaderEpoch sent them, with their offsets and epochs. They must follow the
// log's end, and no leader epoch may be below the one before it; gaps are allowed, since the leader may have compacted. An
// incomplete batch at the end is left out, and so is everything from the first batch of a later leader epoch on: it was read
// after the leader had come to follow another one, and whether it follows what is here is not known (KAFKA-18723).
//
// Where nothing is left the offsets of the result are -1.
func (l *Log) AppendAsFollower(b []byte, leaderEpoch int32) (AppendInfo, error) {
	info := noInfo(l.LogStartOffset())
	if err := l.admit(); err != nil {
		return info, err
	}
	batches, err := checkReplicated(b, leaderEpoch)
	if err != nil || len(batches) == 0 {
		return info, err
	}
	info.FirstOffset, info.LastOffset = batches[0].BaseOffset, batches[len(batches)-1].LastOffset
	r := l.o.Syncer.request()
	defer l.o.Syncer.release(r)
	r.replicated, r.info = batches, info
	l.submit(r)
	return r.info, r.err
}

// checkReplicated checks framing, CRC and order of whole batches up to a leader epoch.
func checkReplicated(b []byte, leaderEpoch int32) ([]segment.Batch, error) {
	var batches []segment.Batch
	for {
		batch, rest, err := records.Split(b)
		if errors.Is(err, records.ErrShort) || err == nil && batch.PartitionLeaderEpoch() > leaderEpoch {
			return batches, nil
		}
		if err != nil {
			return nil, err
		}
		if err := batch.VerifyCRC(); err != nil {
			return nil, err
		}
		d := segment.Describe(batch)
		if d.LastOffset < d.BaseOffset {
			return nil, errcode.New(errcode.KindCorruptMessage, "record batch has offsets [%d, %d]", d.BaseOffset, d.LastOffset)
		}
		if n := len(batches); n > 0 {
			if err := follows(&d, batches[n-1].LastOffset, batches[n-1].LeaderEpoch); err != nil {
				return nil, err
			}
		}
		batches = append(batches, d)
		b = rest
	}
}

// follows says whether a batch of a leader may come behind the one that ends at lastOffset in a leader epoch.
func follows(d *segment.Batch, lastOffset int64, leaderEpoch int32) error {
	switch {
	case d.BaseOffset <= lastOffset:
		return errcode.New(errcode.KindCorruptMessage, "record batch at offset %d follows one that ends at %d", d.BaseOffset, lastOffset)
	case d.LeaderEpoch < leaderEpoch:
		return errcode.New(errcode.KindCorruptMessage,
			"record batch at offset %d is of leader epoch %d and follows one of %d", d.BaseOffset, d.LeaderEpoch, leaderEpoch)
	default:
		return nil
	}
}
