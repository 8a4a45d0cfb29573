package broker

import (
	"time"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/records"
)

// ends tells of the partitions that this broker leads (lag.EndOffsets). Asking opens their logs.
type ends struct{ replicas *replica.Manager }

// EndOffset is the high watermark.
func (e ends) EndOffset(tp protocol.TopicPartition) (int64, bool) {
	found, err := e.replicas.ListOffset(replica.ListOffset{TopicPartition: tp, CurrentLeaderEpoch: replica.Unset, Timestamp: replica.Latest})
	return found.Offset, err == nil
}

// WrittenAt reads the header of the batch that holds the offset, or of the first one where the log begins beyond it.
func (e ends) WrittenAt(tp protocol.TopicPartition, offset int64) (time.Time, bool) {
	res := e.read(tp, offset)
	if res.Err != nil {
		found, err := e.replicas.ListOffset(replica.ListOffset{TopicPartition: tp, CurrentLeaderEpoch: replica.Unset, Timestamp: replica.Earliest})
		if err != nil || found.Offset <= offset {
			return time.Time{}, false
		}
		res = e.read(tp, found.Offset)
	}
	if res.Records == nil {
		return time.Time{}, false
	}
	header := make([]byte, records.HeaderSize)
	n, err := res.Records.ReadAt(header, 0)
	if closeErr := res.Records.Close(); err != nil || closeErr != nil || n < len(header) {
		return time.Time{}, false
	}
	written, ok := firstTimestamp(records.Batch(header))
	return time.UnixMilli(written), ok
}

// read asks for one batch, whatever its size; only what is read of it is read.
func (e ends) read(tp protocol.TopicPartition, offset int64) replica.ReadResult {
	part := replica.ReadPartition{
		TopicIDPartition: protocol.TopicIDPartition{Topic: tp.Topic, Partition: tp.Partition},
		FetchOffset:      offset, CurrentLeaderEpoch: replica.Unset, LastFetchedEpoch: replica.Unset,
	}
	return e.replicas.Read(nil, replica.ReadOptions{ReplicaID: -1}, []replica.ReadPartition{part})[0]
}

// firstTimestamp is the timestamp of a batch's first record. Where the broker stamped the batch, and where compaction has put
// something else in its place, it is the latest in the batch. ok is false for records without timestamps.
func firstTimestamp(header records.Batch) (millis int64, ok bool) {
	millis = header.BaseTimestamp()
	if header.TimestampType() == records.LogAppendTime || header.HasDeleteHorizon() {
		millis = header.MaxTimestamp()
	}
	return millis, millis >= 0
}
