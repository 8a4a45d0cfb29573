// Package log is one partition's log. SKELETON by the lead, to be replaced by its owner: every body panics.
package log

import (
	"context"
	"log/slog"
	"time"

	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/records"
)

type Origin uint8

const (
	FromClient Origin = iota
	FromCoordinator
)

type Options struct {
	FS                                           vfs.FS
	Dir                                          string
	TopicPartition                               protocol.TopicPartition
	TopicID                                      protocol.TopicID
	Config                                       Config
	RecoveryPoint, LogStartOffset, HighWatermark int64
	CleanShutdown                                bool
	Syncer                                       *Syncer
	Files                                        *segment.Files // shared bound of open .log files; nil: an own one
	TailCache                                    *TailCache     // shared bound of memory for newest batches; nil: none
	RecoveryPointLowered                         func()         // after a truncation, before anything is appended: the owner checkpoints RecoveryPoint at once
	Failed                                       func(error)
	Synced                                       func(endOffset int64)
	Appended                                     func()
	Logger                                       *slog.Logger
	Now                                          func() time.Time
}

type Log struct{}

func Open(o Options) (*Log, error) { panic("skeleton") }

type AppendInfo struct {
	FirstOffset, LastOffset, LogAppendTime, LogStartOffset int64
	Duplicate                                              bool
	RecordErrors                                           *records.RecordErrors
}

func (l *Log) AppendAsLeader(batches []byte, leaderEpoch int32, origin Origin) (AppendInfo, error) {
	panic("skeleton")
}
func (l *Log) AppendAsFollower(batches []byte) (AppendInfo, error) { panic("skeleton") }

type AbortedTxn struct{ ProducerID, FirstOffset int64 }

type Slice struct{}

func (s *Slice) Size() int                               { panic("skeleton") }
func (s *Slice) ReadAt(p []byte, off int64) (int, error) { panic("skeleton") }
func (s *Slice) Bytes() []byte                           { panic("skeleton") }
func (s *Slice) Close() error                            { panic("skeleton") }

func (l *Log) Read(offset int64, maxBytes int, maxOffset int64, minOneBatch bool) (*Slice, error) {
	panic("skeleton")
}
func (l *Log) AbortedTxns(from, to int64) ([]AbortedTxn, error) { panic("skeleton") }
func (l *Log) LogStartOffset() int64                            { panic("skeleton") }
func (l *Log) LogEndOffset() int64                              { panic("skeleton") }
func (l *Log) SyncedEndOffset() int64                           { panic("skeleton") }
func (l *Log) RecoveryPoint() int64                             { panic("skeleton") }
func (l *Log) HighWatermark() int64                             { panic("skeleton") }
func (l *Log) UpdateHighWatermark(offset int64)                 { panic("skeleton") }
func (l *Log) LastStableOffset() int64                          { panic("skeleton") }
func (l *Log) Size() int64                                      { panic("skeleton") }
func (l *Log) Config() Config                                   { panic("skeleton") }
func (l *Log) SetConfig(c Config)                               { panic("skeleton") }
func (l *Log) OffsetForTimestamp(ts int64) (offset, timestamp int64, leaderEpoch int32, found bool, err error) {
	panic("skeleton")
}
func (l *Log) OffsetOfMaxTimestamp() (offset, timestamp int64, leaderEpoch int32, found bool, err error) {
	panic("skeleton")
}
func (l *Log) EndOffsetForEpoch(epoch int32) (foundEpoch int32, endOffset int64) { panic("skeleton") }
func (l *Log) LatestEpoch() (int32, bool)                                        { panic("skeleton") }
func (l *Log) EpochForOffset(offset int64) (int32, bool)                         { panic("skeleton") }
func (l *Log) AssignEpoch(epoch int32, start int64) error                        { panic("skeleton") }
func (l *Log) TruncateTo(offset int64) error                                     { panic("skeleton") }
func (l *Log) TruncateFullyAndStartAt(offset int64) error                        { panic("skeleton") }
func (l *Log) AdvanceLogStartOffset(offset int64) error                          { panic("skeleton") }
func (l *Log) DeleteOldSegments(now time.Time) (int, error)                      { panic("skeleton") }
func (l *Log) Roll() error                                                       { panic("skeleton") }
func (l *Log) Flush(ctx context.Context) error                                   { panic("skeleton") }
func (l *Log) ActiveProducers() []producerstate.Entry                            { panic("skeleton") }
func (l *Log) Close() error                                                      { panic("skeleton") }
func (l *Log) Delete() error                                                     { panic("skeleton") }

type Syncer struct{}

func NewSyncer(workers int) *Syncer { panic("skeleton") }
func (s *Syncer) Close()            { panic("skeleton") }

type TailCache struct{}

func NewTailCache(bytes int64) *TailCache { panic("skeleton") }

func (l *Log) BytesBetween(from, to int64) int64 { panic("skeleton") }
